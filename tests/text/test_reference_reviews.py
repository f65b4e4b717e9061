import math

import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.text.kneser_ney import train_ngram_model
from minigpt_pipeline.text.reference_reviews import ReferenceReviews, choose_reviews
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.training_copies import TrainingCopies
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

VOCABULARY_SIZE = 40
TOKENIZER = WordTokenizer(Vocabulary(("", "[UNK]", *(f"word{i}" for i in range(2, VOCABULARY_SIZE)))))


def make_table(token_ids: list[list[int]]) -> pa.Table:
    return pa.table({"token_ids": pa.array(token_ids, pa.list_(pa.int32()))})


def make_reference(reviews: list[list[int]], order: int = 0) -> ReferenceReviews:
    """Beside a training review that counts from 2 to 39, and by default a model to which all words are alike."""
    training = make_table([list(range(2, VOCABULARY_SIZE))])
    ngram_model = train_ngram_model(training, VOCABULARY_SIZE, order)
    return ReferenceReviews(make_table(reviews), TrainingCopies(training), ngram_model, TOKENIZER)


def test_choose_reviews_takes_them_from_all_over_the_table() -> None:
    table = make_table([[10 + row, 5] for row in range(10)])

    chosen = [choose_reviews(table, TOKENIZER, count)["token_ids"].to_pylist() for count in (3, 5, 10, 99)]

    firsts = [[review[0] - 10 for review in reviews] for reviews in chosen]
    assert firsts == [[0, 3, 6], [0, 2, 4, 6, 8], list(range(10)), list(range(10))]


def test_choose_reviews_takes_none_that_begins_with_an_unknown_word_or_is_empty() -> None:
    table = make_table([[1, 5], [], [6, 1]])

    assert choose_reviews(table, TOKENIZER, 2)["token_ids"].to_pylist() == [[6, 1]]
    with pytest.raises(ValueError, match="None of 2 held-out reviews begins with a word of the vocabulary"):
        choose_reviews(table.slice(0, 2), TOKENIZER, 2)


def test_beginnings_are_the_first_words() -> None:
    assert make_reference([[7, 8, 9], [5]]).beginnings == [[7], [5]]


def test_with_parts_of_words_nothing_is_unknown_and_a_beginning_is_a_whole_word() -> None:
    """Of `xy ab y`, which is four tokens."""
    tokenizer = train_subword_tokenizer(pa.table({"word": ["ab", "x", "y"], "count": [9, 1, 1]}), 260)
    reviews = make_table([tokenizer.encode("xy ab y"), tokenizer.encode("ab x")])
    chosen = choose_reviews(reviews, tokenizer, 2)
    ngram_model = train_ngram_model(reviews, len(tokenizer), 0)
    reference = ReferenceReviews(chosen, TrainingCopies(reviews), ngram_model, tokenizer)

    assert [tokenizer.decode(beginning) for beginning in reference.beginnings] == ["xy", "ab"]
    assert len(reference.beginnings[0]) > 1
    figures = reference.measure(reviews["token_ids"].to_pylist(), [False, False], max_tokens=5)
    assert (figures["unk_rate"], figures["human_unk_rate"]) == (0, 0)


def test_measure_puts_people_of_equal_length_beside_the_model() -> None:
    reference = make_reference([[9, 9, 9, 9, 9, 9, 9], [5, 1, 6, 7, 8, 30, 31]])
    loops, copies = [3, 4] * 3, list(range(10, 16))

    figures = reference.measure([loops, copies], ended=[False, True], max_tokens=7)

    assert figures["texts"] == 2
    # Of each text's three 4-grams 3434 is twice in the first; people's first review has one 4-gram, three times.
    assert figures["seq_rep_4"] == pytest.approx((1 / 3 + 0) / 2)
    assert figures["human_seq_rep_4"] == pytest.approx((2 / 3 + 0) / 2)
    assert figures["seq_rep_4_ratio"] == pytest.approx(1 / 2)
    # Ten 2-grams: 34 43, and five of their own; 99, and five.
    assert figures["distinct_2"] == pytest.approx(7 / 10)
    assert figures["human_distinct_2"] == pytest.approx(6 / 10)
    assert figures["distinct_2_ratio"] == pytest.approx(7 / 6)
    assert (figures["unk_rate"], figures["human_unk_rate"]) == (0, 1 / 12)
    assert (figures["ended_share"], figures["human_ended_share"]) == (0.5, 0)
    assert (figures["mean_length"], figures["human_mean_length"]) == (6, 7)


def test_measure_lets_a_review_end_that_is_shorter_than_a_text_may_be() -> None:
    reference = make_reference([[5, 6, 7], [5, 6, 7, 8, 9], [5] * 9, [6] * 9])

    figures = reference.measure([[3] * 5, [4] * 5], ended=[False, False], max_tokens=5)

    assert figures["human_ended_share"] == 1 / 4
    assert figures["human_mean_length"] == (3 + 5 + 5 + 5) / 4


def test_measure_scores_all_words_but_the_first_by_the_ngram_model() -> None:
    """After words that always come alone, a bigram model knows what follows; the first word it is not asked for."""
    reference = make_reference([[20, 5, 6], [30, 7, 8]], order=2)

    figures = reference.measure([[25, 26, 27], [10, 11, 12]], ended=[False, False], max_tokens=3)

    model = reference.ngram_model
    own = model.log_probabilities(np.array([[25, 26, 27], [10, 11, 12]]))[:, 1:].mean()
    human = model.log_probabilities(np.array([[20, 5, 6], [30, 7, 8]]))[:, 1:].mean()
    assert figures["kneser_ney_perplexity"] == pytest.approx(math.exp(-own))
    assert figures["human_kneser_ney_perplexity"] == pytest.approx(math.exp(-human))
    assert figures["kneser_ney_perplexity_ratio"] == pytest.approx(math.exp(human - own))
    assert figures["kneser_ney_perplexity_ratio"] < 0.5


def test_measure_of_what_is_copied() -> None:
    learnt, own = list(range(10, 20)), [5, 4, 3, 2, 5, 4, 3, 2, 5, 4]
    reference = make_reference([[*range(20, 28), 3, 2], [6] * 10, [7] * 10])

    figures = reference.measure([learnt, own], ended=[False, False], max_tokens=10)

    assert figures["copied_8gram_share"] == pytest.approx(3 / 6)
    assert figures["human_copied_8gram_share"] == pytest.approx(1 / 6)
    assert figures["copied_8gram_share_ratio"] == pytest.approx(3)
    assert (figures["longest_copy"], figures["human_longest_copy"]) == (10, 8)


def test_people_write_words_that_the_tokenizer_does_not_know_and_each_is_its_own() -> None:
    """Eight words of the second review stand in training but for the one behind its `[UNK]`, all of the third do."""

    def make(token_ids: list[list[int]], unknown_words: list[list[str]]) -> pa.Table:
        words = pa.array(unknown_words, pa.list_(pa.string()))
        return make_table(token_ids).append_column("unknown_words", words)

    held_out = make(
        [[2, 1, 1, 1, 3, 1, 4, 1], [5, 1, *range(10, 16)], [5, 1, *range(10, 16)]],
        [["x", "y", "x", "z", "y"], ["seen"], ["known"]],
    )
    train = make([[5, 1, *range(10, 16)]], [["known"]])
    ngram_model = train_ngram_model(train, VOCABULARY_SIZE, order=2)
    reference = ReferenceReviews.choose(held_out, train, ngram_model, TOKENIZER, 3)

    assert reference.beginnings == [[2], [5], [5]]
    figures = reference.measure([[20 + i] * 8 for i in range(3)], [False] * 3, max_tokens=8)

    # Distinct words: 2 x y 3 z 4, 5 seen, known, and six from 10 on.
    assert figures["human_distinct_1"] == pytest.approx((6 + 3 + 6) / 24)
    assert figures["human_copied_8gram_share"] == pytest.approx(1 / 3)
    assert figures["human_unk_rate"] == pytest.approx(7 / 21)
    logs = ngram_model.log_probabilities(np.array(held_out["token_ids"].to_pylist()))[:, 1:]
    assert figures["human_kneser_ney_perplexity"] == pytest.approx(math.exp(-logs.mean()))


def test_measure_has_no_ratio_to_nothing() -> None:
    figures = make_reference([[5, 6, 7, 8, 9]]).measure([[3, 4, 3, 4, 3]], ended=[False], max_tokens=5)

    assert figures["human_seq_rep_4"] == 0
    assert "seq_rep_4_ratio" not in figures
    assert "distinct_2_ratio" in figures


def test_measure_of_texts_longer_than_every_review_is_of_lengths_alone() -> None:
    figures = make_reference([[5, 6]]).measure([[3] * 4], ended=[True], max_tokens=6)

    assert figures == {
        "texts": 0,
        "mean_length": 4,
        "ended_share": 1,
        "unk_rate": 0,
        "human_mean_length": 2,
        "human_ended_share": 1,
        "human_unk_rate": 0,
    }


def test_measure_finds_every_unknown_word_also_in_texts_without_a_review() -> None:
    figures = make_reference([[5, 6]]).measure([[3, 4], [3, 1, 1]], ended=[True, True], max_tokens=3)

    assert figures["texts"] == 1
    assert figures["unk_rate"] == pytest.approx(2 / 3)


def test_the_interval_of_seq_rep_4_holds_the_ratio_and_narrows_with_more_texts() -> None:
    loops, plain = [3] * 5, [4, 5, 6, 7, 8]  # two 4-grams, one of them repeated; none

    def measure(times: int) -> dict[str, float]:
        reference = make_reference(([loops] * 3 + [plain]) * times)
        return reference.measure(([loops] + [plain] * 3) * times, [False] * 4 * times, max_tokens=5)

    few, many = measure(20), measure(200)
    for figures in (few, many):
        assert figures["seq_rep_4_ratio"] == pytest.approx(1 / 3)
        assert figures["seq_rep_4_ratio_low"] < 1 / 3 < figures["seq_rep_4_ratio_high"]
    # Standard errors of the two shares, 1/4 and 3/4 of n: the ratio's relative error is sqrt((3 + 1/3) / n).
    width = many["seq_rep_4_ratio_high"] - many["seq_rep_4_ratio_low"]
    assert width == pytest.approx(2 * 1.96 / 3 * math.sqrt((3 + 1 / 3) / 800), rel=0.1)
    assert few["seq_rep_4_ratio_high"] - few["seq_rep_4_ratio_low"] > 2 * width


def test_there_is_no_interval_where_people_repeat_so_little_that_a_sample_may_have_none() -> None:
    reference = make_reference([[3] * 5, *[[4, 5, 6, 7, 8]] * 3])

    figures = reference.measure([[3] * 5] * 4, [False] * 4, max_tokens=5)

    assert figures["seq_rep_4_ratio"] == 4
    assert "seq_rep_4_ratio_high" not in figures


def test_whole_texts_and_reviews_are_cut_at_the_same_length() -> None:
    reference = make_reference([[5, 6, 7], [5, 6, 7, 8, 9], [5] * 9, [6] * 9])

    figures = reference.measure_ends([[3, 4], [3] * 5], ended=[True, False], max_tokens=5)

    assert figures == {
        "whole_mean_length": 3.5,
        "whole_ended_share": 0.5,
        "human_whole_mean_length": (3 + 5 + 5 + 5) / 4,
        "human_whole_ended_share": 1 / 4,
        "whole_mean_length_ratio": pytest.approx(3.5 / 4.5),
    }
