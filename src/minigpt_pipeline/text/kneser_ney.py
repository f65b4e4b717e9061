"""N-gram models with interpolated modified Kneser-Ney smoothing: what counting alone reaches, to compare a GPT with.

Chen and Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech and Language 13,
1999, section 3. With h the last n - 1 words before w, and h' the last n - 2,

    p(w | h) = (a(h w) - D(a(h w))) / sum_v a(h v) + weight(h) p(w | h'),
    weight(h) = sum_v D(a(h v)) / sum_v a(h v),

and p(w | h) = p(w | h') where nothing was seen behind h. Below the words without context lies the uniform distribution
over the words that can be predicted: ids 1 to vocabulary_size - 1, `[UNK]` among them, padding not.

a(g), the adjusted count of an n-gram g, is how often it occurs where n is the model's order. Below, it is in how many
different symbols g is preceded by, its continuation count.

A review begins with a symbol of its own, which is context only; its end is never predicted, for the measure does not
count it. Contexts do not reach over the beginning. Nothing precedes an n-gram that starts with it, so that its
adjusted count is how often it occurs at every order (Heafield et al., "Scalable modified Kneser-Ney language model
estimation", ACL 2013, section 3.2).

How it is stored: the n-grams of one length are numbered in ascending order of their keys, and the key of h w is
(number of h) * vocabulary_size + w. So the number of a context leads to its n-grams, from length to length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.progress import Advance, tell_nobody
from minigpt_pipeline.text.vocabulary import PADDING_ID

BEGIN_ID = PADDING_ID
"""Of the symbol before a review: the one id that no word has."""

ORDER = 5
"""Of the model that a GPT is compared with."""

NOT_SEEN = -1
"""In the place of an n-gram's number. As an index it is the last entry, which contexts that never occurred share."""

FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)


@dataclass(frozen=True, eq=False)
class NgramLevel:
    """The n-grams of one length.

    Args:
        keys: int64, (num_ngrams,), ascending; see the module. Of single words all ids are there, those never seen too.
        counts: int32, (num_ngrams,), adjusted counts.
        num_contexts: Number of n-grams that are one word shorter; 1 for single words, whose context is empty.
        vocabulary_size: Ids, padding and `[UNK]` included.
    """

    keys: np.ndarray
    counts: np.ndarray
    num_contexts: int
    vocabulary_size: int

    @cached_property
    def discounts(self) -> np.ndarray:
        """float64, (4,): what is taken from an adjusted count of 0, 1, 2, and 3 or more."""
        return estimate_discounts(self.counts)

    @cached_property
    def _context_figures(self) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the counts behind each context, and its weight of the next shorter one, (num_contexts + 1,) each."""
        contexts = self.keys // self.vocabulary_size  # (num_ngrams,)
        size = self.num_contexts + 1
        totals = np.bincount(contexts, weights=self.counts, minlength=size)
        taken = np.bincount(contexts, weights=self.discounts[np.minimum(self.counts, 3)], minlength=size)
        never_seen = totals == 0
        totals[never_seen] = taken[never_seen] = 1.0
        return totals, np.divide(taken, totals, out=taken)

    def find(self, contexts: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return the number of each n-gram, int64, (num_words,); `NOT_SEEN` where it or its context never occurred.

        Args:
            contexts: int64, (num_words,), numbers of n-grams that are one word shorter, or `NOT_SEEN`.
            words: int64, (num_words,).
        """
        keys = contexts * self.vocabulary_size + words  # negative where the context was not seen
        numbers = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[numbers] == keys, numbers, NOT_SEEN)

    def interpolate(self, numbers: np.ndarray, contexts: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Return the probabilities of words, float64, (num_words,), from those with a context one word shorter.

        Args:
            numbers: int64, (num_words,), what `find` returned.
            contexts: int64, (num_words,), what it was asked for.
            lower: float64, (num_words,).
        """
        counts = np.where(numbers == NOT_SEEN, 0, self.counts[numbers])
        totals, weights = self._context_figures
        discounted = counts - self.discounts[np.minimum(counts, 3)]
        probabilities: np.ndarray = discounted / totals[contexts] + weights[contexts] * lower
        return probabilities


@dataclass(frozen=True, eq=False)
class NgramModel:
    """Knows how likely each word is to follow the last few words before it.

    Args:
        vocabulary_size: Ids, padding and `[UNK]` included.
        levels: Single words, pairs, and so on up to the model's order; none for the uniform distribution.
    """

    vocabulary_size: int
    levels: tuple[NgramLevel, ...]

    @property
    def order(self) -> int:
        """Words of the longest n-gram that was seen; 1 for a unigram model, 0 for the uniform distribution."""
        return len(self.levels)

    @property
    def num_ngrams(self) -> tuple[int, ...]:
        """Number of different n-grams of each length that were seen, from single words on."""
        return tuple(int((level.counts > 0).sum()) for level in self.levels)

    def log_probabilities(self, sequences: np.ndarray) -> np.ndarray:
        """Return the log-probability of each word, given the words before it in its review.

        Args:
            sequences: int32, (num_reviews, length), words first, then padding (0); the first word of each row begins
                a review.

        Returns:
            float64, (num_reviews, length), in nats; 0 where padding is.

        Raises:
            ValueError: If padding stands before a word, or an id is outside the vocabulary.
        """
        is_word = sequences != PADDING_ID  # (num_reviews, length)
        if (is_word[:, 1:] > is_word[:, :-1]).any():
            row = int(np.argmax((is_word[:, 1:] > is_word[:, :-1]).any(axis=1)))
            raise ValueError(
                f"Row {row} of the sequences holds padding ({PADDING_ID}) before a word: "
                "expected the words of a review from its first one on, then padding"
            )
        scored = np.zeros(sequences.shape, dtype=np.float64)
        scored[is_word] = self._score(sequences[is_word], is_word.sum(axis=1))
        return scored

    def log_probabilities_of_lists(self, token_ids: pa.Table) -> pa.ListArray:
        """Return the log-probability of each word of whole reviews, given the words before it.

        Args:
            token_ids: Column `token_ids`, list of int32, (num_reviews,).

        Returns:
            list of float64, (num_reviews,), in nats, each as long as the list of ids it comes from.

        Raises:
            ValueError: If an id is padding or outside the vocabulary.
        """
        words, lengths = _flatten(token_ids)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(self._score(words, lengths)))

    def _score(self, words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return log-probabilities, float64, (num_words,), of reviews that lie one behind the other."""
        stream = _join(words, lengths, self.vocabulary_size)
        probabilities = np.full(len(stream), 1 / (self.vocabulary_size - 1))
        contexts = np.zeros(len(stream), dtype=np.int64)
        for level in self.levels:
            numbers = level.find(contexts, stream)
            probabilities = level.interpolate(numbers, contexts, probabilities)
            contexts = _shift(numbers)
        log_probabilities: np.ndarray = np.log(probabilities[stream != BEGIN_ID])
        return log_probabilities

    def mean_loss(self, sequences: np.ndarray) -> float:
        """Return the measure: the mean negative log-likelihood of all words but the first of each review, in nats.

        Args:
            sequences: int32, (num_reviews, length), as `log_probabilities` takes them.

        Raises:
            ValueError: If there is no word to score, and where `log_probabilities` raises it.
        """
        is_scored = sequences[:, 1:] != PADDING_ID  # (num_reviews, length - 1)
        if not is_scored.any():
            raise ValueError(
                f"There is no word to score in {len(sequences)} sequences of shape {sequences.shape}: "
                "a review needs two words"
            )
        return -float(self.log_probabilities(sequences)[:, 1:][is_scored].mean())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all that the model consists of: `vocabulary_size`, and `keys_N` and `counts_N` of each length N."""
        arrays = {"vocabulary_size": np.array(self.vocabulary_size, dtype=np.int64)}
        for length, level in enumerate(self.levels, start=1):
            arrays |= {f"keys_{length}": level.keys, f"counts_{length}": level.counts}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "NgramModel":
        """Make the model that `to_arrays` has taken apart."""
        vocabulary_size = int(arrays["vocabulary_size"])
        levels: list[NgramLevel] = []
        while f"keys_{len(levels) + 1}" in arrays:
            keys, counts = (arrays[f"{name}_{len(levels) + 1}"] for name in ("keys", "counts"))
            num_contexts = len(levels[-1].keys) if levels else 1
            levels.append(NgramLevel(keys, counts, num_contexts, vocabulary_size))
        return cls(vocabulary_size, tuple(levels))


def train_ngram_model(
    token_ids: pa.Table, vocabulary_size: int, order: int = ORDER, advance: Advance = tell_nobody
) -> NgramModel:
    """Count the n-grams of some reviews.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,): all words of each review.
        vocabulary_size: Ids, padding and `[UNK]` included.
        order: Words of the longest n-grams to count: 1 for a unigram model, 0 for the uniform distribution.
        advance: Told of each length that is counted.

    Raises:
        ValueError: If `order` is negative, there is nothing to predict, or an id is padding or outside the vocabulary.
    """
    if order < 0 or vocabulary_size < 2:  # noqa: PLR2004 -- padding and a word
        raise ValueError(
            f"order={order}, vocabulary_size={vocabulary_size}: expected an order of at least 0, and padding "
            "and at least one word in the vocabulary"
        )
    stream = _join(*_flatten(token_ids), vocabulary_size)
    keys = [np.arange(vocabulary_size)]
    counts = [np.bincount(stream[stream != BEGIN_ID], minlength=vocabulary_size)]
    numbers = stream  # (num_symbols,), of the n-gram that ends there
    advance(1)
    for _ in range(1, order):
        contexts = _shift(numbers)
        is_end = (contexts != NOT_SEEN) & (stream != BEGIN_ID)  # of an n-gram that is one word longer
        if not is_end.any():
            break
        longer, longer_numbers, occurrences = np.unique(
            contexts[is_end] * vocabulary_size + stream[is_end], return_inverse=True, return_counts=True
        )
        counts[-1] = _adjust(counts[-1], numbers[is_end], longer_numbers)
        keys.append(longer)
        counts.append(occurrences)
        numbers = np.full(len(stream), NOT_SEEN)
        numbers[is_end] = longer_numbers
        advance(1)
    arrays = {"vocabulary_size": np.array(vocabulary_size)}
    for length in range(1, min(order, len(keys)) + 1):
        arrays |= {
            f"keys_{length}": keys[length - 1],
            f"counts_{length}": counts[length - 1].astype(np.int32),
        }
    return NgramModel.from_arrays(arrays)


def estimate_discounts(counts: np.ndarray) -> np.ndarray:
    """Estimate what to take from the counts of the n-grams of one length.

    Chen and Goodman (1999), equation 26, with n_k the number of n-grams whose adjusted count is k:
    Y = n_1 / (n_1 + 2 n_2), and D_k = k - (k + 1) Y n_(k + 1) / n_k for k = 1, 2, and 3 for all counts from 3 on.

    Where one of n_1 to n_4 is 0, or a discount is not positive, the estimate does not exist or would leave nothing for
    words never seen behind a context. All three are then `FALLBACK_DISCOUNTS`, the default of KenLM's
    `--discount_fallback` (kheafield.com/code/kenlm/estimation).

    Args:
        counts: int, (num_ngrams,), adjusted counts; those that are 0 play no part.

    Returns:
        float64, (4,): 0, then D_1, D_2, D_3, with 0 < D_k < k.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)  # (6,), n[5] is of all counts from 5 on
    if not n[1:5].all():
        return np.array(FALLBACK_DISCOUNTS)
    k = np.arange(1, 4)
    discounts = k - (k + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]  # (3,)
    return np.concatenate([[0.0], discounts]) if (discounts > 0).all() else np.array(FALLBACK_DISCOUNTS)


def _adjust(occurrences: np.ndarray, suffixes: np.ndarray, longer_numbers: np.ndarray) -> np.ndarray:
    """Return the adjusted counts of n-grams that are not the longest, int64, (num_ngrams,).

    Args:
        occurrences: int64, (num_ngrams,), how often each occurs.
        suffixes: int64, (num_places,), number of the n-gram at each place where one that is a word longer ends.
        longer_numbers: int64, (num_places,), number of the longer one.
    """
    suffix_of = np.empty(longer_numbers.max(initial=-1) + 1, dtype=np.int64)  # (num_longer_ngrams,)
    suffix_of[longer_numbers] = suffixes
    continuations = np.bincount(suffix_of, minlength=len(occurrences))
    # Only what begins a review has nothing before it.
    return np.where(continuations > 0, continuations, occurrences)


def _flatten(token_ids: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of all reviews, int32, (num_words,), and the length of each review, (num_reviews,)."""
    lists = token_ids["token_ids"].combine_chunks()
    return lists.flatten().to_numpy(), pc.list_value_length(lists).to_numpy()


def _join(words: np.ndarray, lengths: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """Return reviews one behind the other, each after `BEGIN_ID`, int64, (num_words + num_reviews,).

    Raises:
        ValueError: If an id is padding or outside the vocabulary.
    """
    is_wrong = (words <= PADDING_ID) | (words >= vocabulary_size)
    if is_wrong.any():
        raise ValueError(
            f"The token ids hold {words[is_wrong][0]}, expected words from 1 to {vocabulary_size - 1}: "
            "take ids of the vocabulary that the model is made for, without padding"
        )
    stream = np.full(len(words) + len(lengths), BEGIN_ID, dtype=np.int64)
    is_word = np.ones(len(stream), dtype=bool)
    is_word[np.cumsum(lengths + 1) - (lengths + 1)] = False
    stream[is_word] = words
    return stream


def _shift(numbers: np.ndarray) -> np.ndarray:
    """Return for each symbol the number of the n-gram that ends before it, int64, (num_symbols,)."""
    return np.concatenate([[NOT_SEEN], numbers[:-1]])
