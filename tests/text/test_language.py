import random
from pathlib import Path

import pytest

from minigpt_pipeline.datasets.reviews_archive_dataset import stream_members
from minigpt_pipeline.text.imdb import parse_reviews
from minigpt_pipeline.text.language import UNDECIDED, find_languages
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews
from tests.text.foreign import PARTS, write_texts


def test_english_reviews_are_english() -> None:
    texts = [review.text for review in fresh_reviews(300, seed=5)]

    assert set(find_languages(texts, 0.5, "en")) == {"en"}


@pytest.mark.parametrize("language", PARTS)
def test_other_languages_are_found(language: str) -> None:
    assert set(find_languages(write_texts(language, 200), 0.5, "en")) == {language}


def test_what_has_no_text_or_says_nothing_is_not_judged() -> None:
    assert find_languages([None, "", "1 2 3"], 0.5, "en") == [None, UNDECIDED, UNDECIDED]


def test_tags_of_line_breaks_do_not_make_a_text_english() -> None:
    texts = [text.replace(" ", "<br /><br />") for text in write_texts("de", 20)]

    assert set(find_languages(texts, 0.5, "en")) == {"de"}


def test_a_language_that_can_t_be_identified_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"incoming\.language=english is none .* de, .*parameters_incoming\.yml"
    ):
        find_languages(["x"], 0.5, "english")


@pytest.mark.full
def test_no_real_review_is_taken_for_another_language(imdb_archive: Path) -> None:
    texts = parse_reviews(stream_members(imdb_archive), include_unlabelled=False)["text"].tolist()
    some = random.Random(0).sample(texts, 5000)

    assert set(find_languages(some, 0.5, "en")) == {"en"}
