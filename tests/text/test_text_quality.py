import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt_pipeline.text.text_quality import (
    distinct,
    measure_texts,
    pair_with_reviews,
    self_bleu_4,
    seq_rep_4,
    zipf_exponent,
)
from minigpt_pipeline.text.training_copies import TrainingCopies


def make_table(token_ids: list[list[int]]) -> pa.Table:
    return pa.table({"token_ids": pa.array(token_ids, pa.list_(pa.int32()))})


def test_seq_rep_4_is_the_share_of_repeated_4grams() -> None:
    repeats = [5, 6, 7, 8, 5, 6, 7, 8, 5]  # 5678 6785 7856 8567 5678 6785: six, four of them distinct
    does_not = [1, 2, 3, 4, 9]

    assert seq_rep_4([repeats]) == pytest.approx(1 / 3)
    assert seq_rep_4([repeats, [1, 2, 3], does_not]) == pytest.approx(1 / 6)
    assert seq_rep_4([does_not, does_not]) == 0  # of each text alone
    assert math.isnan(seq_rep_4([[1, 2, 3]]))


def test_distinct_is_pooled_and_does_not_join_texts() -> None:
    texts = [[5, 6, 5, 6], [7, 5]]

    assert distinct(texts, 1) == pytest.approx(3 / 6)
    assert distinct(texts, 2) == pytest.approx(3 / 4)  # 56 65 56, 75
    assert distinct(texts, 3) == pytest.approx(2 / 2)
    assert math.isnan(distinct(texts, 5))


@pytest.mark.parametrize(
    ("counts", "exponent"),
    [
        ([8, 4], 1),  # halved at rank 2
        ([16, 4], 2),
        ([36, 18, 12, 9], 1),  # 36 / rank
        ([3, 3, 3], 0),
    ],
)
def test_zipf_exponent_is_the_slope_over_ranks(counts: list[int], exponent: float) -> None:
    text = np.repeat(np.arange(len(counts)), counts)[::-1]

    assert zipf_exponent([text]) == pytest.approx(exponent, abs=1e-12)


def test_zipf_exponent_is_fitted_over_the_first_5000_ranks() -> None:
    ranked = np.repeat(np.arange(5000), 2)

    assert zipf_exponent([ranked, np.arange(5000, 9000)]) == pytest.approx(0, abs=1e-12)


def test_self_bleu_4_of_two_texts_that_differ_in_the_last_word() -> None:
    # Four of five words, three of four pairs, two of three triples, one of two 4-grams.
    expected = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4)

    assert self_bleu_4([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]]) == pytest.approx(expected)


def test_self_bleu_4_makes_short_texts_pay() -> None:
    short = math.exp(1 - 6 / 4)  # all its n-grams match
    long = (4 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)

    assert self_bleu_4([[1, 2, 3, 4], [1, 2, 3, 4, 5, 6]]) == pytest.approx((short + long) / 2)


def test_self_bleu_4_clips_at_the_text_that_has_it_most_often() -> None:
    first = (2 / 4 * 1 / 3 * 0.1 / 2 * 0.1 / 1) ** (
        1 / 4
    )  # `1` is twice in the second text, once in the third
    third = (1 / 4 * 0.1 / 3 * 0.1 / 2 * 0.1 / 1) ** (1 / 4)

    texts = [[1, 1, 1, 1], [1, 1, 2, 3], [1, 4, 5, 6]]
    assert self_bleu_4(texts) == pytest.approx((first + first + third) / 3)


def bleu_4(text: list[int], others: list[list[int]]) -> float:
    """BLEU as its definition reads, one text at a time."""
    product = 1.0
    for n in range(1, 5):
        own, *theirs = [Counter(zip(*(t[i:] for i in range(n)), strict=False)) for t in [text, *others]]
        matches = sum(min(count, max(other[ngram] for other in theirs)) for ngram, count in own.items())
        product *= (matches or 0.1) / own.total()
    closest = min((len(other) for other in others), key=lambda length: (abs(length - len(text)), length))
    return product**0.25 * min(1.0, math.exp(1 - closest / len(text)))


TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=2, max_size=6)


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_self_bleu_4_agrees_with_the_definition(texts: list[list[int]]) -> None:
    scores = [bleu_4(text, [*texts[:i], *texts[i + 1 :]]) for i, text in enumerate(texts) if len(text) >= 4]

    assert self_bleu_4(texts) == pytest.approx(np.mean(scores) if scores else math.nan, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_figures_agree_with_sets_of_tuples(texts: list[list[int]]) -> None:
    fours = [list(zip(*(text[i:] for i in range(4)), strict=False)) for text in texts]
    repeated = [1 - len(set(ngrams)) / len(ngrams) for ngrams in fours if ngrams]
    together = [ngram for ngrams in fours for ngram in ngrams]

    assert seq_rep_4(texts) == pytest.approx(np.mean(repeated) if repeated else math.nan, nan_ok=True)
    assert distinct(texts, 4) == pytest.approx(
        len(set(together)) / len(together) if together else math.nan, nan_ok=True
    )


@pytest.fixture
def training() -> TrainingCopies:
    return TrainingCopies(make_table([list(range(100, 120))]))


def test_measure_texts_gives_every_figure(training: TrainingCopies) -> None:
    copied, own = list(range(100, 109)), [7, 8, 9, 7, 8, 9]

    figures = measure_texts([copied, own], training, ended=[True, False])

    assert figures == {
        "mean_length": 7.5,
        "ended_share": 0.5,
        "seq_rep_4": 0.0,
        "distinct_1": pytest.approx(12 / 15),
        "distinct_2": pytest.approx(11 / 13),
        "distinct_3": pytest.approx(10 / 11),
        "zipf_exponent": pytest.approx(zipf_exponent([copied, own])),
        "self_bleu_4": pytest.approx(self_bleu_4([copied, own])),
        "copied_8gram_share": 1.0,
        "longest_copy": 9.0,
    }


def test_measure_texts_leaves_out_what_it_cannot_know(training: TrainingCopies) -> None:
    assert measure_texts([[5, 5, 6]], training) == {
        "mean_length": 3.0,
        "distinct_1": pytest.approx(2 / 3),
        "distinct_2": 1.0,
        "distinct_3": 1.0,
        "zipf_exponent": pytest.approx(1.0),
        "longest_copy": 0.0,
    }
    assert measure_texts([[], []], training) == {"mean_length": 0.0, "longest_copy": 0.0}


def test_measure_texts_refuses_no_text(training: TrainingCopies) -> None:
    with pytest.raises(ValueError, match="There is no text to measure"):
        measure_texts([], training)


REVIEWS = make_table([[11, 12, 13], [21, 22, 23, 24, 25], [31, 32], [41, 42, 43, 44]])


def test_pair_with_reviews_gives_each_text_a_beginning_of_its_length() -> None:
    texts = [[1] * 2, [2] * 4, [3] * 5]

    paired, beginnings = pair_with_reviews(texts, REVIEWS)

    assert [text.tolist() for text in paired] == texts
    # Five words stand only in row 1, four then in row 3; of the rows left, 0 is the first that has two.
    assert [words.tolist() for words in beginnings] == [[11, 12], [41, 42, 43, 44], [21, 22, 23, 24, 25]]


def test_pair_with_reviews_leaves_texts_out_where_reviews_are_too_few_or_too_short() -> None:
    texts = [[1] * 6, [2] * 2, [3], [4], [5] * 5]

    paired, beginnings = pair_with_reviews(texts, REVIEWS)

    assert [text.tolist() for text in paired] == [[2, 2], [3], [4]]
    assert [words.tolist() for words in beginnings] == [[11, 12], [21], [31]]


def test_pair_with_reviews_reads_filtered_and_empty_tables() -> None:
    _, beginnings = pair_with_reviews([[1], [2]], REVIEWS.slice(2))

    assert [words.tolist() for words in beginnings] == [[31], [41]]
    assert pair_with_reviews([[1]], REVIEWS.slice(4)) == ([], [])
