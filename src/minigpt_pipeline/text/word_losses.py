"""What a language model's losses on held-out words say, with how sure one can be of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.token_places import PlacedTokens, place_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer

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
        reviews: int64, (num_scored,): number of the review of each, ascending.
        positions: int64, (num_scored,): place in the review, counted from 1.
        characters: int64, (num_scored,): of the word and the space before it; 1 for `[UNK]`.
        is_unknown: bool, (num_scored,): whether it is `[UNK]`.
    """

    losses: np.ndarray
    reviews: np.ndarray
    positions: np.ndarray
    characters: np.ndarray
    is_unknown: np.ndarray

    def __post_init__(self) -> None:
        """Refuse to average nothing."""
        if not len(self.losses):
            raise ValueError("There is no word to score: a review needs two words")

    @classmethod
    def from_tokens(cls, losses: np.ndarray, scored: PlacedTokens) -> "WordLosses":
        """Add up the losses of the tokens of each word.

        Args:
            losses: float, (num_tokens,): of each token, in nats.
            scored: The tokens.
        """
        is_first = np.ones(len(scored), dtype=bool)
        is_first[1:] = (np.diff(scored.reviews) != 0) | (np.diff(scored.positions) != 0)
        starts = np.flatnonzero(is_first)  # (num_words,)
        words = scored.take(starts)
        if not len(words):
            return cls(losses, words.reviews, words.positions, words.characters, words.is_unknown)
        return cls(
            np.add.reduceat(losses.astype(np.float64), starts),
            words.reviews,
            words.positions,
            np.add.reduceat(scored.characters, starts),
            words.is_unknown,
        )

    def __len__(self) -> int:
        """Return the number of scored words."""
        return len(self.losses)

    def where(self, is_taken: np.ndarray) -> "WordLosses":
        """Return the losses of some of the words.

        Args:
            is_taken: bool, (num_scored,).
        """
        return WordLosses(
            self.losses[is_taken],
            self.reviews[is_taken],
            self.positions[is_taken],
            self.characters[is_taken],
            self.is_unknown[is_taken],
        )

    def less(self, other: "WordLosses") -> "WordLosses":
        """Return how much higher these losses are than other ones of the same words.

        Args:
            other: Of another model. Characters are counted as here.

        Raises:
            ValueError: If they are of other words.
        """
        if not (
            np.array_equal(self.reviews, other.reviews) and np.array_equal(self.positions, other.positions)
        ):
            raise ValueError(
                f"Losses of {len(self)} words of {len(np.unique(self.reviews))} reviews and of {len(other)} words of "
                f"{len(np.unique(other.reviews))} reviews can't be subtracted: they are not of the same words"
            )
        return replace(self, losses=self.losses - other.losses)

    def mean(self) -> float:
        """Return the mean over words, in nats."""
        return float(self.losses.mean())

    def perplexity(self) -> float:
        """Return exp of the mean."""
        return perplexity(self.mean())

    def unknown_rate(self) -> float:
        """Return the share of `[UNK]` among the words."""
        return float(self.is_unknown.mean())

    def known(self) -> "WordLosses":
        """Return the losses of all words but `[UNK]`."""
        return self.where(~self.is_unknown)

    def bits_per_character(self) -> float:
        """Return the mean over characters, in bits; comparable between tokenizers once words are spelled out."""
        return float(self.losses.sum() / self.characters.sum() / math.log(2))

    def bits_per_character_interval(self, seed: int, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the bits per character over other samples of reviews; see `interval`."""
        characters = np.bincount(self.reviews, weights=self.characters)
        nats, _ = self.by_review()
        low, high = _find_interval(nats, characters[characters > 0], seed, level)
        return low / math.log(2), high / math.log(2)

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
        return _find_interval(nats, words, seed, level)


def spell_unknown_words(
    losses: WordLosses, token_ids: pa.Table, tokenizer: Tokenizer, surprisals: np.ndarray
) -> WordLosses:
    """Add to the loss of each `[UNK]` what it costs to say which word it is, and the characters of that word.

    Args:
        losses: Of every word of the reviews from the second on.
        token_ids: Columns `token_ids` and `unknown_words` of these reviews.
        tokenizer: Whose ids they are.
        surprisals: float64, (num_unknown,): -log p(word | `[UNK]`) of all unknown words of the reviews, in nats.

    Raises:
        ValueError: If there is not one surprisal for each `[UNK]`, or some words are not scored.
    """
    placed = place_tokens(token_ids, tokenizer)
    is_scored = placed.positions[placed.is_unknown] > 1  # (num_unknown,)
    words = token_ids["unknown_words"].combine_chunks().flatten()
    if not len(words) == len(surprisals) == len(is_scored) or losses.is_unknown.sum() != is_scored.sum():
        raise ValueError(
            f"{len(is_scored)} [UNK] among the token ids, {len(words)} unknown words and {len(surprisals)} surprisals: "
            "expected as many of each, and losses of all words but the first of each review"
        )
    nats, characters = losses.losses.copy(), losses.characters.copy()
    nats[losses.is_unknown] += surprisals[is_scored]
    characters[losses.is_unknown] += pc.utf8_length(words).to_numpy()[is_scored]
    return WordLosses(nats, losses.reviews, losses.positions, characters, losses.is_unknown)


def _find_interval(nats: np.ndarray, sizes: np.ndarray, seed: int, level: float) -> tuple[float, float]:
    """Return the interval of a ratio of sums over reviews, float64, (num_reviews,) each."""
    times = _resample(len(sizes), seed)  # (NUM_RESAMPLES, num_reviews)
    means = (times @ nats) / (times @ sizes)  # (NUM_RESAMPLES,)
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
    """Measure slices of the words: by rating and knowledge those of the measure, which weighs no review by its length.

    Args:
        losses: Of every word of the reviews from the second on.
        ratings: Of each review, 1 to 10, null where there is none.
        seed: Of the intervals.

    Returns:
        One row a slice: `slice` (`all`, `words` or `rating`, of words 2 to 81; `position`, of all), `value` (which),
        `words` (their number), `loss` (nats per word), `perplexity`, `low` and `high` (its 95 % interval over reviews).
    """
    rating = pd.array(ratings, dtype="Int64")
    of_word = rating.take(losses.reviews)
    is_measured = losses.positions < POSITION_BOUNDS[-1]
    slices = [("all", "", is_measured)]
    slices += [
        ("words", "known", is_measured & ~losses.is_unknown),
        ("words", "[UNK]", is_measured & losses.is_unknown),
    ]
    for value in sorted(set(rating.dropna())):
        slices.append(("rating", str(value), is_measured & (of_word == value).fillna(False).astype(bool)))
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
    """Hold what a model believes of its most probable token against how often it is right.

    Args:
        confidences: float, (num_scored,): probability of the most probable token.
        is_right: bool, (num_scored,): whether that token came.
        num_bins: Bins with equally many tokens each.

    Returns:
        One row a bin: `tokens`, `confidence` and `accuracy`, means over its tokens.

    References:
        [Guo et al., 2017](https://arxiv.org/abs/1706.04599); bins of equal counts as in
        [Nguyen and O'Connor, 2015](https://arxiv.org/abs/1508.05154).
    """
    order = np.argsort(confidences, kind="stable")
    bins = [part for part in np.array_split(order, num_bins) if len(part)]
    return pd.DataFrame(
        {
            "tokens": [len(part) for part in bins],
            "confidence": [float(confidences[part].mean(dtype=np.float64)) for part in bins],
            "accuracy": [float(is_right[part].mean(dtype=np.float64)) for part in bins],
        }
    )


def calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy, weighted by tokens.

    Args:
        table: What `calibration_table` returns.
    """
    distance = (table["confidence"] - table["accuracy"]).abs()
    return float((distance * table["tokens"]).sum() / table["tokens"].sum())
