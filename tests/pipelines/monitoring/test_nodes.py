import json
import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import (
    MonitoringParameters,
    ServedBounds,
    SplitParameters,
    VectorizationParameters,
)
from minigpt_pipeline.pipelines.monitoring.nodes import measure_served_texts, report_served_texts
from minigpt_pipeline.text.served_days import ServedDays
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.served import make_days, make_refusals, make_text

MONITORING = MonitoringParameters(
    window_hours=24,
    min_texts=2,
    training_reviews=10,
    num_examples=1,
    bounds=ServedBounds(**dict.fromkeys(ServedBounds.model_fields) | {"max_unk_rate_rise": 0.1}),
)
VECTORIZATION = VectorizationParameters(
    vocabulary_size=10, min_words=2, split=SplitParameters(train=0.5, validation=0.25, test=0.25)
)
NEWEST, USED = (WordTokenizer(Vocabulary(("", "[UNK]", *words))) for words in ("ab", "abcd"))
CONFIG = json.dumps({"config": {"sequence_length": 3}}).encode()
CHAMPION = TrainedModel({"config.json": CONFIG}, USED, {"has_learnt_ends": False})


def make_reviews(texts: Sequence[str | None]) -> list[pa.RecordBatch]:
    return [
        pa.record_batch(
            {
                "review_id": [f"train/pos/{number}" for number in range(len(texts))],
                "movie_id": pa.array([f"tt{number}" for number in range(len(texts))]),
                "text": pa.array(texts, pa.large_string()),
            }
        )
    ]


def measure(
    served: ServedDays, champion: TrainedModel | None = CHAMPION, known: WordTokenizer | None = NEWEST
) -> dict[str, Any]:
    reviews = make_reviews(["a b c d " * 20, None] * 20)
    return measure_served_texts(served, reviews, known, champion, MONITORING, VECTORIZATION)


def test_texts_are_held_against_training_films_in_the_tokens_of_the_model_in_use() -> None:
    served = make_days([make_text(), make_text(), make_text(data="data/test")])

    with_champion, without = measure(served), measure(served, champion=None)

    assert with_champion["figures"]["all"]["texts"] == 2
    assert with_champion["figures"]["all"]["training_unk_rate"] == 0
    assert with_champion["figures"]["all"]["long_prompt_share"] == 1
    assert without["figures"]["all"]["training_unk_rate"] == 0.5
    assert "long_prompt_share" not in without["figures"]["all"]
    assert 0 < with_champion["training_reviews"] < 20
    assert with_champion["training_lengths"]["sequence_tokens_max"] == 3
    assert (with_champion["data"], without["training_lengths"].keys()) == (
        "data",
        {"tokens_p50", "tokens_p95"},
    )


@pytest.mark.parametrize("known", [None, NEWEST])
def test_without_training_reviews_or_tokenizer_texts_are_measured_alone(known: WordTokenizer | None) -> None:
    served = make_days([make_text(), make_text()])
    reviews = None if known else make_reviews(["a"])

    described = measure_served_texts(served, reviews, known, None, MONITORING, VECTORIZATION)

    assert described["training_reviews"] == 0
    assert described["figures"]["all"]["unk_rate"] == 0.25


def test_the_report_has_warnings_that_the_log_and_the_page_tell(caplog: pytest.LogCaptureFixture) -> None:
    report, page, metrics = report_served_texts(measure(make_days([make_text(), make_text()])), MONITORING)

    (warning,) = report["warnings"]
    assert warning["value"] == 0.25
    assert caplog.messages == [warning["text"]]
    assert warning["next_step"].partition(":")[0] in page
    assert metrics["served/unk_rate"] == 0.25
    assert metrics["served/training_unk_rate"] == 0
    assert metrics["served/warnings"] == 1


def test_nothing_served_and_few_texts_are_reports_too() -> None:
    for records, texts in (([], 0), ([make_text(), make_refusals()], 1)):
        report, page, metrics = report_served_texts(measure(make_days(records)), MONITORING)
        assert metrics["served/texts"] == texts
        assert "served/unk_rate" not in metrics
        assert report["warnings"] == []
        assert ("Nothing was served." if not texts else "Too few texts to judge.") in page


def test_what_people_wrote_is_nowhere_unless_it_was_kept(caplog: pytest.LogCaptureFixture) -> None:
    texts = [make_text(prompt="canary", text="canary sings") for _ in range(3)]
    with caplog.at_level(logging.DEBUG):
        without, kept = (
            report_served_texts(measure(make_days(texts, with_words)), MONITORING)
            for with_words in (False, True)
        )

    assert "canary" not in repr(without) + caplog.text
    assert len(kept[0]["examples"]) == 1
    assert "<strong>canary</strong> sings" in kept[1]
    assert "canary" not in repr(kept[2])
