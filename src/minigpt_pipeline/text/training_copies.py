"""Which words of a text stand in the training reviews, in the same order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COPY_WORDS = 8
"""Words in a row that count as a copy: in shorter runs, people's own reviews agree all the time."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, made odd: an ordinary choice for multiplicative hashing (Knuth, TAOCP 3, 6.4)."""


@dataclass(frozen=True)
class Copy:
    """A run of words that a text shares with a training review.

    Args:
        length: Words.
        text: Number of the text, from 0.
        text_start: Word of the text at which it begins, from 0.
        review: Row of the training review, the first of those that have it.
        review_start: Word of the review at which it begins, from 0.
    """

    length: int
    text: int
    text_start: int
    review: int
    review_start: int


@dataclass(frozen=True)
class Copies:
    """What some texts share with the training reviews.

    Args:
        num_windows: Runs of `COPY_WORDS` words in the texts, those that overlap each counted.
        num_copied: How many of them stand in a training review.
        longest: The longest run of words that stands in a training review, the first of equal ones; null where no run
            is as long as `COPY_WORDS`.
    """

    num_windows: int
    num_copied: int
    longest: Copy | None


class TrainingCopies:
    """Finds runs of `COPY_WORDS` words and more in the training reviews.

    It keeps one number for each run, sorted: the high bits of its hash, then its place. Words are compared before
    anything counts, so that the hash decides about speed alone. `[UNK]` equals itself. Twelve million words take 150
    MB, and 250 MB in the making.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,): the training reviews.
    """

    def __init__(self, token_ids: pa.Table) -> None:
        lists = token_ids["token_ids"].combine_chunks()
        self._words = lists.flatten().to_numpy()  # (num_words,)
        self._ends = np.cumsum(pc.list_value_length(lists).to_numpy(), dtype=np.int64)  # (num_reviews,)
        self._place_mask = np.uint64((1 << len(self._words).bit_length()) - 1)
        keys = _hash_windows(self._words)  # (num_windows,)
        keys &= ~self._place_mask
        keys |= np.arange(len(keys), dtype=np.uint64)
        is_inside = np.ones(len(keys), dtype=bool)
        for words_left in range(1, COPY_WORDS):  # of the review, where the window begins
            starts = self._ends - words_left
            is_inside[starts[(starts >= 0) & (starts < len(keys))]] = False
        self._keys = keys[is_inside]  # windows that lie in one review
        self._keys.sort()

    def find(self, texts: Sequence[Sequence[int] | np.ndarray]) -> Copies:
        """Look for every run of `COPY_WORDS` words of some texts.

        Args:
            texts: Token ids of each text, of the training's vocabulary.
        """
        num_windows = num_copied = 0
        longest = None
        for number, text in enumerate(texts):
            words = np.asarray(text, dtype=np.int32)
            starts, places = self._match(words)
            num_windows += max(len(words) - COPY_WORDS + 1, 0)
            num_copied += len(np.unique(starts))
            if len(starts):
                length, start, place = self._extend(words, starts, places)
                if longest is None or length > longest.length:
                    review = int(np.searchsorted(self._ends, place, side="right"))
                    review_start = place - (int(self._ends[review - 1]) if review else 0)
                    longest = Copy(length, number, start, review, review_start)
        return Copies(num_windows, num_copied, longest)

    def _match(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where each run of a text stands in the text and in the training words, (num_matches,) each."""
        hashes = _hash_windows(words)  # (num_windows,)
        first = np.searchsorted(self._keys, hashes & ~self._place_mask)
        last = np.searchsorted(self._keys, hashes | self._place_mask, side="right")
        counts = last - first  # (num_windows,)
        starts = np.repeat(np.arange(len(hashes)), counts)  # (num_candidates,)
        ranks = (
            np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        )
        places = (self._keys[ranks] & self._place_mask).astype(np.int64)  # (num_candidates,)
        is_equal = np.ones(len(starts), dtype=bool)
        for offset in range(COPY_WORDS):
            is_equal &= words[starts + offset] == self._words[places + offset]
        return starts[is_equal], places[is_equal]

    def _extend(self, words: np.ndarray, starts: np.ndarray, places: np.ndarray) -> tuple[int, int, int]:
        """Lengthen all matches word by word until one is left, or several that end together.

        Returns:
            Length of the longest, and where it stands in the text and in the training words.
        """
        room = np.minimum(
            len(words) - starts, self._ends[np.searchsorted(self._ends, places, side="right")] - places
        )  # (num_matches,)
        length = COPY_WORDS
        while True:
            goes_on = room > length
            goes_on[goes_on] = words[starts[goes_on] + length] == self._words[places[goes_on] + length]
            if not goes_on.any():
                return length, int(starts[0]), int(places[0])
            starts, places, room = starts[goes_on], places[goes_on], room[goes_on]
            length += 1


def _hash_windows(words: np.ndarray) -> np.ndarray:
    """Hash each run of `COPY_WORDS` words: a polynomial in `_MULTIPLIER`, modulo 2^64.

    Args:
        words: int32, (num_words,).

    Returns:
        uint64, (num_windows,), `COPY_WORDS - 1` fewer than words; the high bits are the good ones.
    """
    num_windows = max(len(words) - COPY_WORDS + 1, 0)
    hashes = np.zeros(num_windows, dtype=np.uint64)
    for offset in range(COPY_WORDS):
        hashes += words[offset : offset + num_windows].astype(np.uint64)
        hashes *= _MULTIPLIER
    return hashes
