import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt_pipeline.text.kneser_ney import (
    FALLBACK_DISCOUNTS,
    NgramModel,
    estimate_discounts,
    train_ngram_model,
)
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews, log_probabilities
from minigpt_pipeline.text.vocabulary import build_vocabulary

A, B, C = 1, 2, 3
VOCABULARY_SIZE = 4  # padding, a, b, c
BEGIN = 0

Reviews = Sequence[Sequence[int]]


def make_table(reviews: Reviews) -> pa.Table:
    return pa.table({"token_ids": pa.array(reviews, pa.list_(pa.int32()))})


def probability(model: NgramModel, *words: int) -> float:
    """Return p(last word | the words before it, from the beginning of a review on)."""
    return math.exp(model.log_probabilities(np.array([words], np.int32))[0, -1])


def sum_over_words(model: NgramModel, context: Sequence[int]) -> float:
    return sum(probability(model, *context, word) for word in range(1, model.vocabulary_size))


class TestByHand:
    """Two reviews, `a b a c` and `a b b`. With | for the beginning: every discount is the fallback's (0.5, 1, 1.5)."""

    reviews = ((A, B, A, C), (A, B, B))

    def test_uniform(self) -> None:
        model = train_ngram_model(make_table(self.reviews), VOCABULARY_SIZE, order=0)

        assert probability(model, A) == pytest.approx(1 / 3)
        assert probability(model, B, C) == pytest.approx(1 / 3)

    def test_unigrams_are_counted_by_their_occurrences(self) -> None:
        # Of 7 words 3 are a, 3 are b, 1 is c; taken are 1.5 + 1.5 + 0.5 = 3.5, which each word gets a third of.
        model = train_ngram_model(make_table(self.reviews), VOCABULARY_SIZE, order=1)

        assert probability(model, A) == pytest.approx((3 - 1.5) / 7 + 3.5 / 7 / 3)
        assert probability(model, B, B) == pytest.approx((3 - 1.5) / 7 + 3.5 / 7 / 3)
        assert probability(model, B, C) == pytest.approx((1 - 0.5) / 7 + 3.5 / 7 / 3)

    def test_trigrams(self) -> None:
        """Trigrams by their occurrences: `| a b` 2; `a b a`, `b a c`, `a b b` 1 each.

        Pairs by what they are preceded by: `| a` by nothing, so it keeps its 2 occurrences; `a b` by |, `b a` by a,
        `a c` by b and `b b` by a: 1 each. Words by what they are preceded by: a by | and b: 2; b by a and b: 2;
        c by a: 1.
        """
        model = train_ngram_model(make_table(self.reviews), VOCABULARY_SIZE, order=3)
        # Words: counts 2, 2, 1 of 5; taken are 1 + 1 + 0.5 = 2.5.
        a = (2 - 1) / 5 + 2.5 / 5 / 3
        b = a
        c = (1 - 0.5) / 5 + 2.5 / 5 / 3
        assert a + b + c == pytest.approx(1)
        # Pairs: behind | only a, 2 times, 1 taken; behind a: b 1 and c 1, 0.5 taken of each; behind b: a 1 and b 1.
        a_after_begin = (2 - 1) / 2 + 1 / 2 * a
        b_after_a = (1 - 0.5) / 2 + 1 / 2 * b
        c_after_a = (1 - 0.5) / 2 + 1 / 2 * c
        a_after_b = (1 - 0.5) / 2 + 1 / 2 * a
        # Trigrams: behind `| a` only b, 2 times, 1 taken; behind `b a` only c, once, 0.5 taken; behind `a b`: a 1, b 1.

        assert probability(model, A) == pytest.approx(a_after_begin)
        assert probability(model, C) == pytest.approx(1 / 2 * c)
        assert probability(model, A, B) == pytest.approx((2 - 1) / 2 + 1 / 2 * b_after_a)
        assert probability(model, A, C) == pytest.approx(1 / 2 * c_after_a)
        assert probability(model, A, B, A) == pytest.approx((1 - 0.5) / 2 + 1 / 2 * a_after_b)
        assert probability(model, A, B, A, C) == pytest.approx((1 - 0.5) / 1 + 0.5 * c_after_a)
        # Nothing was seen behind `b b`, and nothing at all behind `c`.
        assert probability(model, A, B, B, A) == pytest.approx(a_after_b)
        assert probability(model, B, C, A) == pytest.approx(a)


def test_estimate_discounts_by_hand() -> None:
    # n_1 = 4, n_2 = 2, n_3 = 2, n_4 = 1: Y = 4 / (4 + 2 * 2) = 1/2, D_1 = 1 - 2 Y 2/4, D_2 = 2 - 3 Y 2/2,
    # D_3 = 3 - 4 Y 1/2.
    counts = np.array([0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 900])

    assert estimate_discounts(counts).tolist() == [0, 0.5, 0.5, 2]


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_estimate_discounts_falls_back_where_a_count_of_counts_is_zero(missing: int) -> None:
    counts = np.array([count for count in (1, 1, 1, 1, 2, 2, 3, 3, 4, 5) if count != missing])

    assert tuple(estimate_discounts(counts)) == FALLBACK_DISCOUNTS


def test_estimate_discounts_falls_back_where_one_would_be_negative() -> None:
    # n = 4, 1, 8, 1: D_2 = 2 - 3 * 2/3 * 8 < 0.
    assert tuple(estimate_discounts(np.repeat([1, 2, 3, 4], [4, 1, 8, 1]))) == FALLBACK_DISCOUNTS


class SlowModel:
    """The same in dictionaries of tuples and in fractions, from the definitions alone."""

    def __init__(self, reviews: Reviews, vocabulary_size: int, order: int) -> None:
        self.vocabulary_size, self.order = vocabulary_size, order
        self.occurrences: Counter[tuple[int, ...]] = Counter()
        self.preceding: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for review in reviews:
            symbols = (BEGIN, *review)
            for start, end in itertools.combinations(range(len(symbols) + 1), 2):
                if end >= 2 and end - start <= order:  # the beginning itself is no n-gram
                    self.occurrences[symbols[start:end]] += 1
                    if start > 0:
                        self.preceding[symbols[start:end]].add(symbols[start - 1])
        self.discounts = [self.estimate(length) for length in range(order + 1)]

    def adjusted(self, ngram: tuple[int, ...]) -> int:
        if len(ngram) == self.order or ngram[0] == BEGIN:
            return self.occurrences[ngram]
        return len(self.preceding[ngram])

    def estimate(self, length: int) -> list[Fraction]:
        counts = [self.adjusted(ngram) for ngram in list(self.occurrences) if len(ngram) == length]
        n1, n2, n3, n4 = (counts.count(k) for k in (1, 2, 3, 4))
        if n1 * n2 * n3 * n4 > 0:
            y = Fraction(n1, n1 + 2 * n2)
            estimated = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            if min(estimated) > 0:
                return [Fraction(0), *estimated]
        return [Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3, 2)]

    def predict(self, word: int, words_before: Sequence[int]) -> Fraction:
        context = (BEGIN, *words_before)
        shortest = len(context) if self.order < 2 else max(len(context) - self.order + 1, 0)
        return self.descend(word, context[shortest:]) if self.order else Fraction(1, self.vocabulary_size - 1)

    def descend(self, word: int, context: tuple[int, ...]) -> Fraction:
        lower = self.descend(word, context[1:]) if context else Fraction(1, self.vocabulary_size - 1)
        counts = [self.adjusted((*context, other)) for other in range(self.vocabulary_size)]
        if sum(counts) == 0:
            return lower
        taken = [self.discounts[len(context) + 1][min(count, 3)] for count in counts]
        return (counts[word] - taken[word] + sum(taken) * lower) / sum(counts)


some_reviews = st.lists(st.lists(st.integers(1, 4), max_size=8), max_size=6)


@given(reviews=some_reviews, other=some_reviews, order=st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_agrees_with_dictionaries(reviews: Reviews, other: Reviews, order: int) -> None:
    slow = SlowModel(reviews, 6, order)
    model = train_ngram_model(make_table(reviews), 6, order)

    for review, scored in zip(
        other, model.log_probabilities_of_lists(make_table(other)).to_pylist(), strict=True
    ):
        expected = [math.log(slow.predict(word, review[:place])) for place, word in enumerate(review)]
        assert scored == pytest.approx(expected, abs=1e-12)


def draw_reviews(num_reviews: int, seed: int, num_words: int = 30) -> list[list[int]]:
    """Words whose frequencies fall as 1 / id, so that all counts of counts are there, each a step from the last."""
    rng = np.random.default_rng(seed)
    ids = np.arange(1, num_words + 1)
    steps = rng.choice(ids, size=(num_reviews, 20), p=1 / ids / (1 / ids).sum())
    return (np.cumsum(steps, axis=1) % num_words + 1).tolist()


def test_agrees_with_dictionaries_where_the_discounts_are_estimated() -> None:
    reviews, other = draw_reviews(150, seed=1), draw_reviews(20, seed=2)
    slow = SlowModel(reviews, 32, 3)
    model = train_ngram_model(make_table(reviews), 32, 3)

    assert [tuple(level.discounts) == FALLBACK_DISCOUNTS for level in model.levels] == [True, False, False]
    scored = model.log_probabilities_of_lists(make_table(other)).to_pylist()
    expected = [
        [math.log(slow.predict(word, review[:i])) for i, word in enumerate(review)] for review in other
    ]
    assert np.array(scored) == pytest.approx(np.array(expected), abs=1e-12)


@given(reviews=some_reviews, context=st.lists(st.integers(1, 5), max_size=7), order=st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_sums_to_one_behind_any_context(reviews: Reviews, context: list[int], order: int) -> None:
    assert sum_over_words(train_ngram_model(make_table(reviews), 6, order), context) == pytest.approx(1)


@pytest.mark.parametrize("context", [[], [5, 6, 7], [31, 31], [31, 5]])
def test_sums_to_one_where_the_discounts_are_estimated(context: list[int]) -> None:
    reviews = draw_reviews(150, seed=1)  # no word is 31

    for seen in (context, reviews[0][: len(context)]):
        assert sum_over_words(train_ngram_model(make_table(reviews), 32, 4), seen) == pytest.approx(1)


def test_order_of_the_words_matters() -> None:
    model = train_ngram_model(make_table([[A, B, C]] * 5), VOCABULARY_SIZE, order=3)

    assert probability(model, A, B, C) > 0.5 > probability(model, B, A, C)


def test_a_context_does_not_reach_into_the_review_before() -> None:
    """Every review begins with a and ends with c: `a` never follows `c`, and the first word knows that it is one."""
    model = train_ngram_model(make_table([[A, B, C]] * 5), VOCABULARY_SIZE, order=3)

    assert model.log_probabilities(np.array([[A, B, C], [A, B, C]]))[0].tolist() == pytest.approx(
        model.log_probabilities(np.array([[A, B, C], [A, B, C]]))[1].tolist(), abs=0
    )
    assert probability(model, C, A) < 0.5 < probability(model, A)


def test_padded_and_ragged_reviews_have_the_same_probabilities() -> None:
    reviews = [[5, 6, 7, 8], [], [9], [5, 6]]
    model = train_ngram_model(make_table(draw_reviews(100, seed=1)), 32, order=4)

    padded = model.log_probabilities(truncate(make_table(reviews), sequence_length=5))
    ragged = model.log_probabilities_of_lists(make_table(reviews))

    assert padded.shape == (4, 6)
    assert padded.dtype == np.float64
    assert ragged.to_pylist() == [
        row[: len(review)].tolist() for row, review in zip(padded, reviews, strict=True)
    ]
    assert (padded < 0).sum() == 7
    assert padded.sum() == pytest.approx(sum(map(sum, ragged.to_pylist())))


def test_reads_slices_of_tables() -> None:
    table = make_table(draw_reviews(100, seed=1))
    model = train_ngram_model(table.slice(50), 32, order=3)

    np.testing.assert_equal(
        model.to_arrays(),
        train_ngram_model(make_table(table["token_ids"][50:].to_pylist()), 32, 3).to_arrays(),
    )
    assert (
        model.log_probabilities_of_lists(table.slice(99)).to_pylist()
        == (model.log_probabilities_of_lists(table).to_pylist()[99:])
    )


def test_mean_loss_leaves_out_the_first_word_and_padding() -> None:
    model = train_ngram_model(make_table([[A, B, C], [A, B]]), VOCABULARY_SIZE, order=2)
    sequences = np.array([[A, B, C, 0], [C, A, 0, 0], [B, 0, 0, 0]], np.int32)

    expected = [probability(model, A, B), probability(model, A, B, C), probability(model, C, A)]
    assert model.mean_loss(sequences) == pytest.approx(-np.log(expected).mean())


def test_mean_loss_refuses_reviews_of_one_word() -> None:
    model = train_ngram_model(make_table([[A]]), VOCABULARY_SIZE, order=2)

    with pytest.raises(ValueError, match=r"no word to score in 1 sequences of shape \(1, 2\)"):
        model.mean_loss(np.array([[A, 0]], np.int32))


def test_loss_on_the_known_source_falls_with_the_order_and_stays_above_its_entropy() -> None:
    """Up to trigrams: the grammar says little by four words that it does not say by three."""
    words = split_words(pa.array([review.text for review in fresh_reviews(500, seed=1)]))
    fresh = split_words(pa.array([review.text for review in fresh_reviews(100, seed=2)]))
    vocabulary = build_vocabulary(words, 20_000)
    train = pa.table({"token_ids": vocabulary.encode_lists(words)})
    sequences = truncate(pa.table({"token_ids": vocabulary.encode_lists(fresh)}), 80)
    source = -np.concatenate([log_probabilities(review[:81])[1:] for review in fresh.to_pylist()]).mean()

    losses = [train_ngram_model(train, len(vocabulary), order).mean_loss(sequences) for order in range(6)]

    assert losses[0] == pytest.approx(math.log(len(vocabulary) - 1))
    assert losses[0] - 1 > losses[1] > losses[2] + 2 > losses[3] + 2.1
    assert max(losses[4:]) < losses[3] + 0.02
    assert min(losses) > source + 1


def test_arrays_hold_the_whole_model() -> None:
    table = make_table(draw_reviews(100, seed=1))
    model = train_ngram_model(table, 32, order=4)

    again = NgramModel.from_arrays(model.to_arrays())

    assert again.order == 4
    np.testing.assert_equal(again.to_arrays(), model.to_arrays())
    assert again.log_probabilities_of_lists(table) == model.log_probabilities_of_lists(table)


def test_tells_of_each_length_that_is_counted() -> None:
    told: list[float] = []

    train_ngram_model(make_table([[A, B, C]] * 3), VOCABULARY_SIZE, 3, told.append)

    assert told == [1, 1, 1]


def test_knows_how_many_ngrams_it_has() -> None:
    # a, b; `| a`, `a b`; `| a b`; nothing is longer.
    model = train_ngram_model(make_table([[A, B]]), VOCABULARY_SIZE, order=5)

    assert model.num_ngrams == (2, 2, 1)
    assert model.order == 3


@pytest.mark.parametrize("word", [-1, 0, 4])
def test_refuses_ids_that_are_no_words(word: int) -> None:
    message = f"The token ids hold {word}, expected words from 1 to 3"
    with pytest.raises(ValueError, match=message):
        train_ngram_model(make_table([[A, word, B]]), VOCABULARY_SIZE)
    model = train_ngram_model(make_table([[A]]), VOCABULARY_SIZE)
    with pytest.raises(ValueError, match=message):
        model.log_probabilities_of_lists(make_table([[A, word]]))


def test_refuses_padding_before_a_word() -> None:
    model = train_ngram_model(make_table([[A]]), VOCABULARY_SIZE)

    with pytest.raises(ValueError, match=r"Row 1 of the sequences holds padding \(0\) before a word"):
        model.log_probabilities(np.array([[A, B], [0, A]], np.int32))


@pytest.mark.parametrize(("vocabulary_size", "order"), [(4, -1), (1, 3)])
def test_refuses_orders_and_vocabularies_that_predict_nothing(vocabulary_size: int, order: int) -> None:
    with pytest.raises(ValueError, match=f"order={order}, vocabulary_size={vocabulary_size}: expected"):
        train_ngram_model(make_table([[A]]), vocabulary_size, order)
