"""Figures of a set of texts: how much they repeat themselves, each other, and the training reviews.

All are computed on token ids: a punctuation character is a word, and where the tokens are parts of words, so are the
n-grams. They depend on the number of texts and their
lengths, so they mean something only beside the figures of people's texts that are as many and as long: see
`pair_with_reviews`.
"""

import heapq
import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.training_copies import TrainingCopies

Texts = Sequence[Sequence[int] | np.ndarray]

BLEU_WORDS = 4
"""Words of the longest n-gram of BLEU-4."""

NO_MATCH = 0.1
"""Matches that BLEU counts where there is none: method 1 of [Chen and Cherry, 2014](https://aclanthology.org/W14-3346),
with NLTK's value, which Zhu et al. took."""

ZIPF_RANKS = 5000
"""Ranks that the exponent is fitted over at most, as in Holtzman et al.'s code (github.com/ari-holtzman/degen)."""


def measure_texts(
    texts: Texts, training: TrainingCopies, ended: Sequence[bool] | None = None
) -> dict[str, float]:
    """Measure a set of texts.

    Args:
        texts: Token ids of each text, without padding.
        training: The reviews that a text may have been copied from.
        ended: Whether each text ended by itself, and not because it was long enough; null where that means nothing.

    Returns:
        `mean_length` (words), `ended_share`, `seq_rep_4`, `distinct_1`, `distinct_2`, `distinct_3`, `zipf_exponent`,
        `self_bleu_4`, `copied_8gram_share` (of all runs of eight words, the share that stands in a training review) and
        `longest_copy` (words of the longest run that does; 0 where it is shorter than eight). A figure for which the
        texts are too few or too short is left out.

    Raises:
        ValueError: If there is no text.
    """
    if not len(texts):
        raise ValueError("There is no text to measure: expected the token ids of one text at least")
    copies = training.find(texts)
    figures = {
        "mean_length": float(np.mean([len(text) for text in texts])),
        "ended_share": math.nan if ended is None else float(np.mean(ended)),
        "seq_rep_4": seq_rep_4(texts),
        "distinct_1": distinct(texts, 1),
        "distinct_2": distinct(texts, 2),
        "distinct_3": distinct(texts, 3),
        "zipf_exponent": zipf_exponent(texts),
        "self_bleu_4": self_bleu_4(texts),
        "copied_8gram_share": copies.num_copied / copies.num_windows if copies.num_windows else math.nan,
        "longest_copy": float(copies.longest.length if copies.longest else 0),
    }
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def seq_rep_4(texts: Texts) -> float:
    """Return how much the texts repeat themselves: 1 - distinct 4-grams / 4-grams of a text, its mean over the texts.

    [Welleck et al., 2020](https://arxiv.org/abs/1908.04319). Texts of fewer than four words are left out; nan where no
    other is left.
    """
    return _mean(repeated_4gram_shares(texts))


def repeated_4gram_shares(texts: Texts) -> np.ndarray:
    """Return 1 - distinct 4-grams / 4-grams of each text that has four words, float64, (num_long_enough,)."""
    numbers, owners = _number_ngrams(texts, 4)
    _, distinct_owners, _ = _count_in_each_text(numbers, owners, len(texts))
    num_distinct = np.bincount(distinct_owners, minlength=len(texts))  # (num_texts,)
    num_ngrams = np.bincount(owners, minlength=len(texts))  # (num_texts,)
    has_any = num_ngrams > 0
    shares: np.ndarray = 1 - num_distinct[has_any] / num_ngrams[has_any]
    return shares


def distinct(texts: Texts, num_words: int) -> float:
    """Return the share of distinct n-grams among the n-grams of all texts together, from 0 to 1.

    [Li et al., 2016](https://arxiv.org/abs/1510.03055). nan where there is no n-gram.

    Args:
        texts: Token ids of each text.
        num_words: n.
    """
    numbers, _ = _number_ngrams(texts, num_words)
    return len(np.unique(numbers)) / len(numbers) if len(numbers) else math.nan


def zipf_exponent(texts: Texts) -> float:
    """Return s where the frequency of a word of all texts together falls as rank^-s: about 1 in people's texts.

    Least squares of log frequency on log rank over the `ZIPF_RANKS` most frequent words, each with the same weight
    ([Holtzman et al., 2020](https://arxiv.org/abs/1904.09751)). nan where there are fewer than two distinct words.
    """
    _, counts = np.unique(_number_ngrams(texts, 1)[0], return_counts=True)
    counts = np.sort(counts)[::-1][:ZIPF_RANKS]  # (num_ranks,)
    if len(counts) < 2:  # noqa: PLR2004 -- a line needs two points
        return math.nan
    slope, _ = np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)
    return float(-slope)


def self_bleu_4(texts: Texts) -> float:
    """Return how much the texts repeat each other: the mean BLEU-4 of each text against all others, from 0 to 1.

    [Zhu et al., 2018](https://arxiv.org/abs/1802.01886), of BLEU by
    [Papineni et al., 2002](https://aclanthology.org/P02-1040): the geometric mean of the clipped precisions of 1- to
    4-grams, less where the other text that is closest in length is longer. `NO_MATCH` is counted where nothing matches.
    Texts of fewer than four words are references only; nan where all are so short, or there is no other text.
    """
    if len(texts) < 2:  # noqa: PLR2004 -- a text and another
        return math.nan
    lengths = np.array([len(text) for text in texts])  # (num_texts,)
    is_scored = lengths >= BLEU_WORDS
    log_precision = np.zeros(is_scored.sum())
    for num_words in range(1, BLEU_WORDS + 1):
        matches = _count_matches_elsewhere(texts, num_words)[is_scored]
        precision = np.where(matches > 0, matches, NO_MATCH) / (lengths[is_scored] - num_words + 1)
        log_precision += np.log(precision) / BLEU_WORDS
    log_brevity = np.minimum(0, 1 - _closest_other_lengths(lengths)[is_scored] / lengths[is_scored])
    return _mean(np.exp(log_precision + log_brevity))


def pair_with_reviews(texts: Texts, token_ids: pa.Table) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Give each text the beginning of a review of its own, cut to the text's length.

    The longest text chooses first, and takes the first review in the table that is long enough. Where there are fewer
    reviews than texts, the texts at the end are left out, and so is a text that finds no review. A second piece of the
    same review would stand for them badly: it is no beginning, and it shares names and subject with the first.

    Args:
        texts: Token ids of each text.
        token_ids: Column `token_ids`, list of int32, (num_reviews,): reviews that no model was trained on.

    Returns:
        The texts that found a review, in their order, and the beginnings, one for each.
    """
    lists = token_ids["token_ids"].combine_chunks()
    ends = np.cumsum(pc.list_value_length(lists).to_numpy())  # (num_reviews,)
    reviews = np.split(lists.flatten().to_numpy(), ends[:-1]) if len(lists) else []
    paired = [np.asarray(text) for text in texts[: len(reviews)]]
    by_length = sorted(range(len(reviews)), key=lambda row: len(reviews[row]))
    long_enough: list[int] = []  # a heap: the first in the table comes first
    beginnings: dict[int, np.ndarray] = {}
    for number in sorted(range(len(paired)), key=lambda number: -len(paired[number])):
        length = len(paired[number])
        while by_length and len(reviews[by_length[-1]]) >= length:
            heapq.heappush(long_enough, by_length.pop())
        if long_enough:
            beginnings[number] = reviews[heapq.heappop(long_enough)][:length]
    numbers = sorted(beginnings)
    return [paired[number] for number in numbers], [beginnings[number] for number in numbers]


def _number_ngrams(texts: Texts, num_words: int) -> tuple[np.ndarray, np.ndarray]:
    """Number the n-grams of some texts, so that equal ones have equal numbers: exact, unlike a hash.

    Returns:
        The number of each n-gram and its text, int64, (num_ngrams,) both, in the order of the texts.
    """
    words = np.concatenate([np.asarray(text, dtype=np.int64) for text in texts])  # (num_words,)
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])  # (num_words,)
    _, words = np.unique(words, return_inverse=True)
    numbers = words
    for size in range(2, num_words + 1):
        longer = numbers[:-1] * len(words) + words[size - 1 :]
        _, numbers = np.unique(longer, return_inverse=True)  # (num_words - size + 1,)
    is_inside = owners[: len(numbers)] == owners[num_words - 1 :]
    return numbers[is_inside], owners[: len(numbers)][is_inside]


def _count_in_each_text(
    numbers: np.ndarray, owners: np.ndarray, num_texts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct n-grams of each text, sorted by number: number, text, and how often it is there."""
    pairs, counts = np.unique(numbers * num_texts + owners, return_counts=True)  # (num_pairs,)
    return pairs // num_texts, pairs % num_texts, counts


def _count_matches_elsewhere(texts: Texts, num_words: int) -> np.ndarray:
    """Count the n-grams of each text that others have, each at most as often as one other has it, (num_texts,)."""
    numbers, owners, counts = _count_in_each_text(*_number_ngrams(texts, num_words), len(texts))
    order = np.lexsort((-counts, numbers))  # of each n-gram, the text that has it most often comes first
    numbers, owners, counts = numbers[order], owners[order], counts[order]
    is_first = np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]
    most = counts[is_first][np.cumsum(is_first) - 1]
    second = np.append(np.where(is_first[1:], 0, counts[1:]), 0)[: len(numbers)]
    elsewhere = np.where(is_first, second, most)
    return np.bincount(owners, weights=np.minimum(counts, elsewhere), minlength=len(texts))


def _closest_other_lengths(lengths: np.ndarray) -> np.ndarray:
    """Return the length of another text that is closest to a text's own, the shorter of two, (num_texts,)."""
    distinct_lengths, numbers, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    distances = np.abs(distinct_lengths[:, None] - distinct_lengths).astype(float)
    distances[np.diag(counts == 1)] = np.inf  # a text is not its own reference
    closest: np.ndarray = distinct_lengths[distances.argmin(axis=1)][numbers]
    return closest


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
