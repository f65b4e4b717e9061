"""Texts whose forms a person can count."""

import pyarrow as pa
import pytest

from minigpt_pipeline.text import casing
from minigpt_pipeline.text.casing import add_form_counts, choose_forms, count_forms, make_casing
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.vocabulary import add_counts, count_words


def learn(*texts: str) -> tuple[str, ...]:
    return choose_forms(add_form_counts([count_forms(pa.array(texts, pa.string()))]))


def test_names_and_abbreviations_are_learnt() -> None:
    review = "It stars Hanks, a McDonald on DVD; the Élan of FBI's films and mp3s"

    assert learn(review, review, review) == ("DVD", "FBI", "Hanks", "McDonald")


@pytest.mark.parametrize("sign", list('.!?:"(-*/'))
def test_a_capital_where_something_begins_says_nothing(sign: str) -> None:
    assert learn(f"Hanks {sign} Hanks ends. " * 9) == ()


@pytest.mark.parametrize("sign", [",", ";", "'", "&"])
def test_behind_a_sign_that_ends_nothing_it_does(sign: str) -> None:
    assert learn(f"the end {sign} Hanks ends. " * 3) == ("Hanks",)


def test_more_than_half_of_all_forms_inside_sentences_are_needed() -> None:
    like, unlike = "they say Hope ends. Hope? ", "we hope so. "

    assert learn(4 * like + 4 * unlike) == ()
    assert learn(4 * like + 3 * unlike) == ("Hope",)
    assert learn(4 * like + 2 * unlike + "on HOPE. And on HoPe. ") == ()


def test_three_occurrences_inside_sentences_are_needed() -> None:
    assert learn("Hanks. Hanks. so Hanks", "Hanks, in Hanks") == ()
    assert learn("Hanks. Hanks. so Hanks", "then Hanks, in Hanks") == ("Hanks",)


def test_who_shouts_teaches_nothing() -> None:
    shout = "THE FILM IS GREAT, I SAY, A GREAT TALE! SEE IT WITH TOM HANKS"

    assert learn(*[shout] * 9) == ()
    assert learn(*[shout] * 9, *["so great on TV a film with Tom Hanks"] * 3) == ("Hanks", "TV", "Tom")


def test_a_word_is_no_shout_for_the_end_of_another_review() -> None:
    assert learn(*["it ran on TV", "DVD is better, a DVD"] * 3) == ("DVD", "TV")


def test_single_letters_are_left_out() -> None:
    assert learn("so B is X and I am" * 9) == ()


def test_the_most_frequent_forms_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casing, "MAX_FORMS", 2)

    assert learn("so Ann and Bob and Cy " * 3 + "and Cy and Ann") == ("Ann", "Cy")
    assert learn("so Ann and Bob and Cy " * 3) == ("Ann", "Bob")


def test_counts_of_pieces_add_up_and_tell_the_counts_of_words() -> None:
    texts = pa.array(["Ann on TV.", "", "TV ANN, ann<BR />Ann", "Élan élan <br<BR />/> é", "so NICE"])
    whole = add_form_counts([count_forms(texts)])

    assert add_form_counts([count_forms(texts[i : i + 1]) for i in range(len(texts))]) == whole
    assert add_form_counts([count_forms(texts[2:]), count_forms(texts[:2])]) == whole
    words = add_counts([count_words(split_words(texts))])
    assert add_counts([whole.select(["word", "count"])]) == words


def test_make_casing_finds_forms_by_their_words() -> None:
    assert make_casing(("DVD", "McDonald", "Élan")) == {"dvd": "DVD", "mcdonald": "McDonald", "Élan": "Élan"}
    assert make_casing(()) == {}
