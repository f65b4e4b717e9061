import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from minigpt_pipeline.text.word_losses import (
    WordLosses,
    calibration_error,
    calibration_table,
    perplexity,
    tabulate_slices,
)

LOSSES = WordLosses(
    losses=np.array([1.0, 2.0, 3.0, 6.0, 8.0]),
    reviews=np.array([0, 0, 0, 2, 2]),
    positions=np.array([2, 3, 90, 2, 3]),
    characters=np.array([4, 1, 6, 3, 1]),
    is_unknown=np.array([False, True, False, False, True]),
)


def test_the_mean_is_over_words() -> None:
    assert LOSSES.mean() == 4.0
    assert LOSSES.perplexity() == math.exp(4)
    assert LOSSES.unknown_rate() == 0.4
    assert LOSSES.known().mean() == pytest.approx(10 / 3)


def test_by_review_adds_up_the_reviews_with_words() -> None:
    nats, words = LOSSES.by_review()

    assert nats.tolist() == [6, 14]
    assert words.tolist() == [3, 2]


def test_less_is_how_much_higher_the_losses_are() -> None:
    other = replace(LOSSES, losses=np.array([0.5, 3.0, 3.0, 2.0, 9.0]), characters=np.full(5, 7))

    difference = LOSSES.less(other)

    assert difference.losses.tolist() == [0.5, -1, 0, 4, -1]
    assert other.less(LOSSES).mean() == -difference.mean() == -0.5
    assert difference.characters.tolist() == LOSSES.characters.tolist()
    assert LOSSES.losses.tolist() == [1, 2, 3, 6, 8]


@pytest.mark.parametrize(
    "other",
    [
        LOSSES.where(np.arange(5) < 4),
        replace(LOSSES, reviews=np.array([0, 0, 0, 1, 1])),
        replace(LOSSES, positions=np.array([2, 3, 4, 2, 3])),
    ],
    ids=["fewer", "other reviews", "other places"],
)
def test_losses_of_other_words_are_not_subtracted(other: WordLosses) -> None:
    with pytest.raises(ValueError, match=r"^Losses of 5 words of 2 reviews .* are not of the same words"):
        LOSSES.less(other)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no word to score"):
        LOSSES.where(np.zeros(5, dtype=bool))


def test_perplexity_is_the_exponential_of_the_loss() -> None:
    assert perplexity(math.log(100)) == pytest.approx(100)
    assert perplexity(1e4) == math.inf  # which no float can hold


def make_losses(losses: np.ndarray, reviews: np.ndarray, positions: np.ndarray) -> WordLosses:
    """Words of four characters, with a space each."""
    return WordLosses(losses, reviews, positions, np.full(len(losses), 5), np.zeros(len(losses), dtype=bool))


def draw(rng: np.random.Generator, num_reviews: int) -> WordLosses:
    """Reviews of 1 to 20 words with losses around a mean of the review's own, which lie around 5."""
    lengths = rng.integers(1, 21, num_reviews)
    reviews = np.repeat(np.arange(num_reviews), lengths)
    means = rng.normal(5, 1, num_reviews)
    losses = means[reviews] + rng.normal(0, 1, len(reviews))
    return make_losses(losses, reviews, np.full(len(reviews), 2))


def test_the_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    intervals = [draw(rng, 60).interval(seed=0) for _ in range(200)]

    share = np.mean([low < 5 < high for low, high in intervals])
    assert 0.9 < share < 0.99  # words as independent samples would give 0.53


def test_the_interval_is_that_of_its_seed() -> None:
    losses = draw(np.random.default_rng(1), 30)

    assert losses.interval(seed=1) == losses.interval(seed=1) != losses.interval(seed=2)


def test_the_interval_of_reviews_that_are_all_alike_is_a_point() -> None:
    alike = make_losses(np.tile([1.0, 3.0], 9), np.repeat(range(9), 2), np.tile([2, 3], 9))

    assert alike.interval(seed=0) == (2.0, 2.0)


def test_slices_are_by_word_by_rating_and_by_position() -> None:
    slices = tabulate_slices(LOSSES, [1, None, 10], seed=0)

    found = {(row.slice, row.value): (row.words, row.loss) for row in slices.itertuples()}
    assert found == {
        ("all", ""): (4, 4.25),
        ("words", "known"): (2, 3.5),
        ("words", "[UNK]"): (2, 5.0),
        ("rating", "1"): (2, 1.5),
        ("rating", "10"): (2, 7.0),
        ("position", "2-5"): (4, 4.25),
        ("position", "82+"): (1, 3.0),
    }
    assert slices["perplexity"].tolist() == pytest.approx(np.exp(slices["loss"]).tolist())
    assert (slices["low"] <= slices["perplexity"]).all()
    assert (slices["perplexity"] <= slices["high"]).all()


def test_slices_of_reviews_without_ratings() -> None:
    assert "rating" not in set(tabulate_slices(LOSSES, [None, None, None], seed=0)["slice"])


def test_the_calibration_error_of_one_who_is_too_sure() -> None:
    table = calibration_table(np.full(100, 0.9), np.arange(100) < 60, num_bins=1)

    assert table.to_dict("records") == [{"tokens": 100, "confidence": pytest.approx(0.9), "accuracy": 0.6}]
    assert calibration_error(table) == pytest.approx(0.3)


def test_calibration_bins_hold_equally_many_words_by_confidence() -> None:
    table = calibration_table(np.array([0.9, 0.1, 0.8, 0.2]), np.array([True, False, True, True]), num_bins=2)

    expected = pd.DataFrame({"tokens": [2, 2], "confidence": [0.15, 0.85], "accuracy": [0.5, 1.0]})
    pd.testing.assert_frame_equal(table, expected)
    assert calibration_error(table) == pytest.approx((0.35 + 0.15) / 2)


def test_bins_without_words_are_left_out() -> None:
    assert len(calibration_table(np.array([0.5, 0.6]), np.array([True, False]), num_bins=15)) == 2
