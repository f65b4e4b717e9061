import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt_pipeline.text.spelling_model import (
    END_ID,
    FIRST_CHARACTER_ID,
    NUM_CODE_POINTS,
    SpellingModel,
    train_spelling_model,
)
from minigpt_pipeline.text.vocabulary import count_words

A_ID, B_ID = FIRST_CHARACTER_ID, FIRST_CHARACTER_ID + 1
UNSEEN = "é"


def train(words: list[str], order: int) -> SpellingModel:
    return train_spelling_model(count_words(pa.array([words], pa.list_(pa.string()))), order)


SOME_WORDS = train(["ab", "ba", "Ä", "日本"], order=4)


def probability(model: SpellingModel, word: str) -> float:
    return math.exp(-model.surprisals([word])[0])


def test_surprisals_by_hand() -> None:
    """Of `a` and `ab`, by single symbols: a 2, b 1, end 2 of 5; 1 + 0.5 + 1 of them taken, a quarter of it for each of
    a, b, the end and the unseen characters.
    """
    model = train(["a", "ab"], order=1)
    share = 2.5 / 5 / 4
    a, b, end, unseen = (2 - 1) / 5 + share, (1 - 0.5) / 5 + share, (2 - 1) / 5 + share, share
    assert a + b + end + unseen == pytest.approx(1)

    assert probability(model, "a") == pytest.approx(a / (1 - end) * end)
    assert probability(model, "ba") == pytest.approx(b / (1 - end) * a * end)
    assert probability(model, UNSEEN) == pytest.approx(unseen / (NUM_CODE_POINTS - 2) / (1 - end) * end)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_sums_to_one_over_all_strings(order: int) -> None:
    """By enumeration up to five characters, any unseen one standing for all of them, and the mass of what is longer."""
    longest = 5
    model = train(["a", "ab", "ab", "ba", "aab"], order)
    strings = [
        "".join(string)
        for n in range(1, longest + 1)
        for string in itertools.product("ab" + UNSEEN, repeat=n)
    ]
    times = np.array([float(NUM_CODE_POINTS - 2) ** string.count(UNSEEN) for string in strings])
    ended = (np.exp(-model.surprisals(strings)) * times).sum()

    # The mass that goes on after five characters, from the n-grams themselves.
    symbols = [A_ID, B_ID, 2]
    prefixes = np.array(list(itertools.product(symbols, repeat=longest)), np.int32)
    ends = np.full((len(prefixes), 1), END_ID, np.int32)
    scored = np.exp(
        model.ngrams.log_probabilities(np.hstack([prefixes, ends]))
    )  # (3 ** longest, longest + 1)
    first_is_end = np.exp(model.ngrams.log_probabilities(np.array([[END_ID]])))[0, 0]
    going_on = (scored[:, :-1].prod(axis=1) * (1 - scored[:, -1])).sum() / (1 - first_is_end)

    assert ended + going_on == pytest.approx(1, abs=1e-12)
    assert going_on < 0.4


@given(words=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_every_word_has_a_finite_surprisal(words: list[str]) -> None:
    surprisals = SOME_WORDS.surprisals(words)

    assert surprisals.shape == (len(words),)
    assert np.isfinite(surprisals).all()
    assert (surprisals > 0).all()


def test_unseen_characters_are_equally_likely_and_less_than_those_seen() -> None:
    model = train(["ab", "ab", "b"], order=3)

    assert probability(model, "é") == probability(model, "\U0010ffff") < probability(model, "a")


def test_each_word_is_spelled_from_its_own_beginning() -> None:
    model = train(["ab", "ab", "ba"], order=4)

    alone = [model.surprisals([word])[0] for word in ("ab", "b", "aé")]
    assert model.surprisals(["ab", "b", "aé"]).tolist() == alone


def test_counts_are_those_of_the_words() -> None:
    """The second `ab` makes it more likely; listed once with count 2 it is the same model."""
    once = pa.table({"word": ["ab", "ba"], "count": [1, 1]})
    twice = pa.table({"word": ["ab", "ba"], "count": [2, 1]})

    assert probability(train_spelling_model(twice, 3), "ab") > probability(
        train_spelling_model(once, 3), "ab"
    )
    assert probability(train_spelling_model(twice, 3), "ab") == probability(
        train(["ab", "ba", "ab"], 3), "ab"
    )


def test_learns_from_no_word_at_all() -> None:
    """The end and the unseen characters are then equally likely, but for the beginning."""
    model = train([], order=3)

    assert probability(model, "a") == pytest.approx(1 / 2 / NUM_CODE_POINTS)
    assert probability(model, "ab") == pytest.approx((1 / 2 / NUM_CODE_POINTS) ** 2)
    assert model.surprisals([]).tolist() == []


def test_refuses_an_empty_word() -> None:
    with pytest.raises(ValueError, match="Word 1 of 2 is empty"):
        train(["a"], 2).surprisals(["a", ""])
