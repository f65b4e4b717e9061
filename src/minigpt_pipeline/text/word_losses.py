"""What a language model's losses on held-out words say, with how sure one can be of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from minigpt_pipeline.text.vocabulary import UNKNOWN_ID

NUM_RESAMPLES = 2000
"""Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 14: 1,000 at least for percentiles."""

POSITION_BOUNDS = (2, 6, 11, 21, 41, 82)
"""First word of each slice by position; the last one is what lies beyond the measure."""


def perplexity(loss: float) -> float:
    """Return exp of a mean loss in nats; infinite where a float can't hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class WordLosses:
    """The loss of each scored word, review by review.

    Args:
        losses: float64, (num_scored,): negative log-likelihood, in nats.
        words: int32, (num_scored,): token ids.
        reviews: int64, (num_scored,): number of the review of each, ascending.
        positions: int64, (num_scored,): place in the review, counted from 1.
    """

    losses: np.ndarray
    words: np.ndarray
    reviews: np.ndarray
    positions: np.ndarray

    def __post_init__(self) -> None:
        """Refuse to average nothing."""
        if not len(self.losses):
            raise ValueError("There is no word to score: a review needs two words")

    def __len__(self) -> int:
        """Return the number of scored words."""
        return len(self.losses)

    def where(self, is_taken: np.ndarray) -> "WordLosses":
        """Return the losses of some of the words.

        Args:
            is_taken: bool, (num_scored,).
        """
        return WordLosses(
            self.losses[is_taken], self.words[is_taken], self.reviews[is_taken], self.positions[is_taken]
        )

    def mean(self) -> float:
        """Return the mean over words, in nats."""
        return float(self.losses.mean())

    def perplexity(self) -> float:
        """Return exp of the mean."""
        return perplexity(self.mean())

    def unknown_rate(self) -> float:
        """Return the share of `[UNK]` among the words."""
        return float((self.words == UNKNOWN_ID).mean())

    def known(self) -> "WordLosses":
        """Return the losses of all words but `[UNK]`."""
        return self.where(self.words != UNKNOWN_ID)

    def by_review(self) -> tuple[np.ndarray, np.ndarray]:
        """Add up the reviews that have a scored word.

        Returns:
            float64, (num_reviews,): nats; int64, (num_reviews,): scored words.
        """
        nats, words = np.bincount(self.reviews, weights=self.losses), np.bincount(self.reviews)
        return nats[words > 0], words[words > 0]

    def interval(self, seed: int, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the mean, in nats, over other samples of reviews.

        Words of a review depend on each other, so reviews are resampled and not words: the percentile bootstrap of a
        ratio of means.

        Args:
            seed: Of the resamples.
            level: Share of the resamples that lie in the interval.

        References:
            Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
        """
        nats, words = self.by_review()
        times = _resample(len(words), seed)  # (NUM_RESAMPLES, num_reviews)
        means = (times @ nats) / (times @ words)  # (NUM_RESAMPLES,)
        tail = (1 - level) / 2
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)


def _resample(num_reviews: int, seed: int) -> np.ndarray:
    """Return how often each review is in each resample, float64, (NUM_RESAMPLES, num_reviews)."""
    drawn = np.random.default_rng(seed).multinomial(
        num_reviews, np.full(num_reviews, 1 / num_reviews), size=NUM_RESAMPLES
    )
    return drawn.astype(np.float64)


def tabulate_slices(
    losses: WordLosses, ratings: Sequence[int | None] | np.ndarray, seed: int
) -> pd.DataFrame:
    """Measure slices of the words.

    Args:
        losses: Of all words.
        ratings: Of each review, 1 to 10, null where there is none.
        seed: Of the intervals.

    Returns:
        One row a slice: `slice` (`all`, `words`, `rating` or `position`), `value` (which), `words` (their number),
        `loss` (nats per word), `perplexity`, `low` and `high` (its 95 % interval over reviews).
    """
    rating = pd.array(ratings, dtype="Int64")
    of_word = rating.take(losses.reviews)
    slices = [("all", "", np.ones(len(losses), dtype=bool))]
    is_known = losses.words != UNKNOWN_ID
    slices += [("words", "known", is_known), ("words", "[UNK]", ~is_known)]
    for value in sorted(set(rating.dropna())):
        slices.append(("rating", str(value), (of_word == value).fillna(False).astype(bool)))
    for first, after in zip(POSITION_BOUNDS, (*POSITION_BOUNDS[1:], None), strict=True):
        is_there = losses.positions >= first
        name = f"{first}+" if after is None else f"{first}-{after - 1}"
        slices.append(
            ("position", name, is_there if after is None else is_there & (losses.positions < after))
        )
    rows = []
    for kind, value, is_taken in slices:
        if not is_taken.any():
            continue
        taken = losses.where(np.asarray(is_taken))
        low, high = taken.interval(seed)
        rows.append(
            {
                "slice": kind,
                "value": value,
                "words": len(taken),
                "loss": taken.mean(),
                "perplexity": taken.perplexity(),
                "low": perplexity(low),
                "high": perplexity(high),
            }
        )
    return pd.DataFrame(rows)


def calibration_table(confidences: np.ndarray, is_right: np.ndarray, num_bins: int = 15) -> pd.DataFrame:
    """Hold what a model believes of its most probable word against how often it is right.

    Args:
        confidences: float, (num_scored,): probability of the most probable word.
        is_right: bool, (num_scored,): whether that word came.
        num_bins: Bins with equally many words each.

    Returns:
        One row a bin: `words`, `confidence` and `accuracy`, means over its words.

    References:
        [Guo et al., 2017](https://arxiv.org/abs/1706.04599); bins of equal counts as in
        [Nguyen and O'Connor, 2015](https://arxiv.org/abs/1508.05154).
    """
    order = np.argsort(confidences, kind="stable")
    bins = [part for part in np.array_split(order, num_bins) if len(part)]
    return pd.DataFrame(
        {
            "words": [len(part) for part in bins],
            "confidence": [float(confidences[part].mean(dtype=np.float64)) for part in bins],
            "accuracy": [float(is_right[part].mean(dtype=np.float64)) for part in bins],
        }
    )


def calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy, weighted by words.

    Args:
        table: What `calibration_table` returns.
    """
    distance = (table["confidence"] - table["accuracy"]).abs()
    return float((distance * table["words"]).sum() / table["words"].sum())
