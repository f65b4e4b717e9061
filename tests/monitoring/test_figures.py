from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.monitoring.figures import (
    TrainingReviews,
    choose_training_reviews,
    encode_training_reviews,
    find_unknown_rate,
    measure_lengths,
    measure_requests,
    measure_texts,
    measure_training,
)
from minigpt_pipeline.text.served_text import measure_repetition
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.served import make_days, make_refusals, make_text

WORDS = WordTokenizer(Vocabulary(("", "[UNK]", "a", "b", "c", "d")))


def frame(*changes: dict[str, Any]) -> pd.DataFrame:
    return make_days([make_text(**each) for each in changes]).read(None, 0).texts


def encode(*texts: str, context: int | None = 8, is_packed: bool = False) -> TrainingReviews:
    return encode_training_reviews(pa.chunked_array([pa.array(texts)]), WORDS, context, is_packed)


def test_a_request_is_counted_once_however_many_texts_it_asks_for() -> None:
    records = make_days(
        [make_text(), make_text(index=1), make_text(finish_reason="failed"), make_refusals(count=4), make_text(),
         make_refusals(status=503, code="stopping"), make_refusals(status=422, code="invalid_request", count=3)]
    ).read(None, 0)  # fmt: skip

    assert measure_requests(records.texts, records.refusals) == {
        "requests": 10, "texts": 4, "error_share": 0.1, "overloaded_share": 0.4, "refused_share": 0.8
    }  # fmt: skip


def test_without_a_request_there_is_no_share() -> None:
    nothing = make_days([]).read(None, 0)

    assert measure_requests(nothing.texts, nothing.refusals) == {"requests": 0, "texts": 0}


def test_figures_of_texts_are_those_that_one_computes_by_hand() -> None:
    figures = measure_texts(
        frame(
            {"prompt_tokens": 1, "unknown_tokens": 0, "new_tokens": 10, "finish_reason": "end", "first_token": 0.1,
             "waited": 0.0, "seconds": 1.0, "seq_rep_4": 0.0, "distinct_2": 1.0},
            {"prompt_tokens": 9, "unknown_tokens": 3, "new_tokens": 40, "finish_reason": "length", "first_token": 0.3,
             "waited": 1.0, "seconds": 3.0, "seq_rep_4": 0.5, "distinct_2": 0.5},
            {"prompt_tokens": 2, "unknown_tokens": 0, "new_tokens": 0, "finish_reason": "cancelled", "waited": 2.0,
             "first_token": None, "seconds": 2.0, "seq_rep_4": None, "distinct_2": None},
        ),
        context=8,
    )  # fmt: skip

    assert figures["prompt_tokens_mean"] == 4
    assert (figures["prompt_tokens_p50"], figures["prompt_tokens_max"]) == (2, 9)
    assert figures["unk_rate"] == 3 / 12
    assert figures["long_prompt_share"] == pytest.approx(1 / 3)
    assert (figures["new_tokens"], figures["new_tokens_mean"]) == (50, pytest.approx(50 / 3))
    assert figures["ended_share"] == figures["cancelled_share"] == pytest.approx(1 / 3)
    assert figures["first_token_p50"] == pytest.approx(0.2)
    assert figures["seconds_p99"] == pytest.approx(np.quantile([1, 2, 3], 0.99))
    assert figures["waited_p95"] == pytest.approx(1.9)
    assert figures["tokens_per_second_p50"] == pytest.approx(15)  # 10 and 20, of those that have tokens
    assert (figures["seq_rep_4"], figures["distinct_2"]) == (0.25, 0.75)


def test_what_nobody_knows_is_left_out() -> None:
    figures = measure_texts(
        frame(
            {"prompt_tokens": 0, "unknown_tokens": 0, "first_token": None, "seq_rep_4": None, "new_tokens": 0}
        )
    )

    missing = {"unk_rate", "long_prompt_share", "first_token_p50", "tokens_per_second_p50", "seq_rep_4"}
    assert not missing & figures.keys()


def test_unknown_words_are_expected_as_often_as_at_the_same_places_of_reviews() -> None:
    reviews = encode("x a a a", "x x b", "c")

    # [UNK] is first in two of three reviews, second in one of two, and never later.
    assert find_unknown_rate(reviews, np.array([1])) == pytest.approx(2 / 3)
    assert find_unknown_rate(reviews, np.array([2])) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert find_unknown_rate(reviews, np.array([1, 4])) == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 5)
    assert find_unknown_rate(reviews, np.array([99])) == find_unknown_rate(reviews, np.array([4]))
    assert np.isnan(find_unknown_rate(reviews, np.array([0])))


def test_people_repeat_themselves_as_far_as_they_write_as_much() -> None:
    reviews = encode("a b c d a b c d a", "x y a x y b", "c")
    figures = measure_training(frame({"new_tokens": 8, "prompt_tokens": 1}, {"new_tokens": 6}), reviews)

    # The longer text has the first review, cut at eight words; unknown words are told apart.
    first, second = (measure_repetition(words.split()) for words in ("a b c d a b c d", "x y a x y b"))
    assert figures["seq_rep_4"] == pytest.approx((first["seq_rep_4"] + second["seq_rep_4"]) / 2)
    assert figures["distinct_2"] == pytest.approx((first["distinct_2"] + second["distinct_2"]) / 2)
    assert measure_training(frame({"new_tokens": 99}), reviews).keys() == {"unk_rate"}


def test_a_tokenizer_without_unknown_words_has_no_rate_of_them() -> None:
    counts = pa.table({"word": ["a", "b"], "count": [2, 1]})
    subwords = train_subword_tokenizer(counts, 300)
    reviews = encode_training_reviews(pa.chunked_array([["a b a b a"]]), subwords, None, False)

    assert "unk_rate" not in measure_training(frame({"new_tokens": 4}), reviews)


@pytest.mark.parametrize(
    ("context", "is_packed", "mean", "longest"), [(4, False, 3.0, 4), (9, False, 3.5, 5), (4, True, 4, 4)]
)
def test_training_sequences_are_as_long_as_the_model_has_read(
    context: int, is_packed: bool, mean: float, longest: int
) -> None:
    figures = measure_lengths(encode("a b", "a b c d x", context=context, is_packed=is_packed))

    assert figures["tokens_p50"] == 3.5
    assert (figures["sequence_tokens_mean"], figures["sequence_tokens_max"]) == (mean, longest)


def test_without_a_model_nobody_knows_its_sequences() -> None:
    assert measure_lengths(encode("a b", context=None)).keys() == {"tokens_p50", "tokens_p95"}


@pytest.mark.parametrize(("num_rows", "expected"), [(20, 5), (5, 5), (3, 3), (0, 20)])
def test_reviews_are_taken_from_all_over(num_rows: int, expected: int) -> None:
    texts = [f"review {number}" for number in range(num_rows or 20)]
    pieces = [pa.record_batch({"text": texts[start : start + 7]}) for start in range(0, len(texts), 7)]

    chosen = choose_training_reviews(pieces, num_rows, 5 if num_rows else 20).to_pylist()

    places = [texts.index(text) for text in chosen]
    assert len(chosen) == expected
    assert set(np.diff(places)) == {len(texts) // expected}


def test_no_review_is_nothing_to_compare_with() -> None:
    assert choose_training_reviews([], 0, 5) is None
