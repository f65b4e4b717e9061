import json
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from minigpt_pipeline.monitoring.figures import TrainingReviews, encode_training_reviews
from minigpt_pipeline.monitoring.report import NUM_SPANS, describe_served, summarize
from minigpt_pipeline.monitoring.warnings import ALL
from minigpt_pipeline.text.served_text import Refusals, ServedText
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.served import NOW, make_days, make_refusals, make_text


@pytest.fixture
def reviews() -> TrainingReviews:
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", *"abcdefgh")))
    texts = pa.chunked_array([[" ".join("abcdefgh" * 8), " ".join("hgfedcba" * 8)]])
    return encode_training_reviews(texts, tokenizer, 16, False)


def describe(
    *records: ServedText | Refusals, reviews: TrainingReviews | None = None, min_texts: int = 1, **kwargs: Any
) -> dict[str, Any]:
    read = make_days(records, kwargs.pop("with_words", False)).read(kwargs.pop("hours", 24), 3)
    return describe_served(read, reviews, 16, min_texts) | {"warnings": []}


def test_all_and_each_version_are_measured_beside_training_reviews(reviews: TrainingReviews) -> None:
    report = describe(
        make_text(model_version="10"), make_text(model_version="9", unknown_tokens=0), make_refusals(count=2),
        make_refusals(status=503, code="no_model"), reviews=reviews,
    )  # fmt: skip

    assert list(report["figures"]) == [ALL, "3", "9", "10"]
    assert report["figures"][ALL]["unk_rate"] == 1 / 8
    assert report["figures"]["9"]["unk_rate"] == 0
    assert report["figures"]["10"]["training_unk_rate"] == 0
    assert report["figures"]["3"] == {
        "requests": 3, "texts": 0, "error_share": pytest.approx(1 / 3),
        "overloaded_share": pytest.approx(2 / 3), "refused_share": 1,
    }  # fmt: skip
    assert report["refused"] == {"429 overloaded": 2, "503 no_model": 1}
    assert report["training_reviews"] == 2
    assert report["training_lengths"]["sequence_tokens_max"] == 16
    json.dumps(report, allow_nan=False)


def test_few_texts_and_few_requests_are_counted_and_nothing_else(reviews: TrainingReviews) -> None:
    few = describe(make_text(), make_refusals(count=3), reviews=reviews, min_texts=5)
    many_requests = describe(make_text(), make_refusals(count=4, status=500), reviews=reviews, min_texts=5)

    assert few["figures"][ALL] == {"requests": 4, "texts": 1}
    assert many_requests["figures"][ALL].keys() == {
        "requests", "texts", "error_share", "overloaded_share", "refused_share"
    }  # fmt: skip
    assert "not measured: fewer than min_texts=5 texts" in list(summarize(few))[1]


def test_how_it_went_is_told_span_by_span() -> None:
    ago = [(NOW - timedelta(hours=hours)).isoformat() for hours in (23.5, 0.5, 0.0)]
    report = describe(
        make_text(at=ago[0], first_token=1.0), *(make_text(at=at, first_token=3.0) for at in ago[1:])
    )

    spans = report["spans"]
    assert len(spans) == NUM_SPANS
    assert [span["texts"] for span in spans] == [1, *[0] * 22, 2]
    assert (spans[0]["first_token_p50"], spans[1]["first_token_p50"], spans[-1]["first_token_p50"]) == (
        1,
        None,
        3,
    )
    assert spans[0]["begin"] == report["since"] == "2026-11-25T12:00:00+00:00"


def test_nothing_served_is_said() -> None:
    report = describe()

    assert report["figures"] == {ALL: {"requests": 0, "texts": 0}}
    assert (report["spans"], report["refused"]) == ([], {})
    assert list(summarize(report)) == ["Nothing was served since 2026-11-25 12:00"]
    assert list(summarize(describe(hours=None))) == ["Nothing was served since ever"]


def test_words_are_in_the_report_only_where_they_were_kept() -> None:
    text = make_text(prompt="canary", text="sings")

    assert "canary" not in json.dumps(describe(text))
    assert describe(text, with_words=True)["examples"] == [
        {"at": text.at, "model_version": "3", "prompt": "canary", "text": "sings"}
    ]


def test_a_line_says_what_was_served_and_one_for_each_warning_what_to_do(reviews: TrainingReviews) -> None:
    report = describe(make_text(), make_text(model_version="4"), reviews=reviews)
    warning = {"text": "it is slow", "next_step": "wait"}

    assert list(summarize(report | {"warnings": [warning]})) == [
        "2 texts of 2 requests since 2026-11-25 12:00 UTC, versions 3, 4",
        "  [UNK] in prompts 25.00% (training reviews 0.00%), first token 0.500 s, a text 2.25 s",
        "  ! it is slow: wait",
    ]
