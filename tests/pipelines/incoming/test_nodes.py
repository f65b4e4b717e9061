import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import (
    ComputeSettings,
    DriftParameters,
    EvaluationParameters,
    IncomingParameters,
    IngestionParameters,
    ModelParameters,
    SplitParameters,
    ValidationParameters,
    VectorizationParameters,
)
from minigpt_pipeline.pipelines.incoming.nodes import check_incoming, measure_incoming, report_incoming
from minigpt_pipeline.text.imdb import ArchiveMember, tabulate_reviews
from minigpt_pipeline.text.incoming_batch import BatchOutcome, CheckedBatch, IncomingBatch
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews
from minigpt_pipeline.text.vocabulary import Vocabulary, build_vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

INCOMING = IncomingParameters(
    max_megabytes=1,
    min_reviews=1,
    max_rejected_share=0.1,
    max_duplicate_share=0.1,
    max_markup_share=0.1,
    language="en",
    min_language_confidence=0.5,
    max_other_language_share=0.1,
    drift=DriftParameters(
        min_reviews=2,
        max_words_ks_distance=0.9,
        max_vocabulary_divergence=None,
        max_new_word_share=0.6,
        max_unk_rate_rise=None,
        max_positive_share_difference=None,
        max_perplexity_ratio=1.2,
        perplexity_reviews=3,
    ),
)
VALIDATION = ValidationParameters(
    min_reviews=1,
    min_text_length=5,
    max_text_length=5000,
    max_rejected_share=0.1,
    max_duplicate_share=0.1,
    min_positive_share=0.4,
    max_positive_share=0.6,
    max_non_ascii_share=0.1,
    max_markup_share=0.1,
)
VECTORIZATION = VectorizationParameters(
    vocabulary_size=10, min_words=2, split=SplitParameters(train=1.0, validation=0.0, test=0.0)
)
EVALUATION = EvaluationParameters(seed=0, batch_size=2, known_source=None)
COMPUTE = ComputeSettings(device="auto", precision="float32", memory_growth=True, deterministic=True)
TEXTS = [review.text for review in fresh_reviews(12, seed=1)]


@pytest.fixture
def make_champion() -> Callable[..., TrainedModel]:
    def make(texts: Sequence[str], **metadata: Any) -> TrainedModel:
        from minigpt_pipeline.model.mini_gpt import create_model

        tokenizer = WordTokenizer(build_vocabulary(split_words(pa.array(texts)), 5000))
        sizes = ModelParameters(
            sequence_length=8, embed_dim=8, num_heads=2, head_dim=None, feed_forward_dim=16, num_blocks=1, dropout=0.0
        )  # fmt: skip
        return TrainedModel.from_model(create_model(sizes, len(tokenizer)), tokenizer, dict(metadata))

    return make


def make_batch(batch_id: str, texts: Sequence[str], name: str = "new.txt") -> IncomingBatch:
    def open_files(max_bytes: int) -> Iterator[ArchiveMember]:
        yield ArchiveMember(name, "\n\n".join(texts).encode())

    return IncomingBatch(batch_id, name, Path(name), 9, open_files)


def check(batches: list[IncomingBatch], accepted: Sequence[CheckedBatch] = ()) -> list[CheckedBatch]:
    reviews = pd.concat([tabulate_reviews([]), *(one.kept for one in accepted)], ignore_index=True)
    ingestion = IngestionParameters(include_unlabelled=False)
    return check_incoming(batches, [to_piece(TEXTS[:2])], reviews, INCOMING, VALIDATION, ingestion)


def to_piece(texts: Sequence[str | None], labels: Sequence[str | None] | None = None) -> pa.RecordBatch:
    nulls = [None] * len(texts)
    return pa.record_batch(
        {
            "review_id": [f"train/pos/{number}" for number in range(len(texts))],
            "movie_id": pa.array(nulls, pa.string()),
            "label": pa.array(labels or nulls, pa.string()),
            "text": pa.array(texts, pa.large_string()),
        }
    )


def measure(
    batches: list[CheckedBatch], training: Sequence[str | None], champion: TrainedModel | None = None
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", "the", "a")))
    known = [to_piece(training)] if training else None
    return measure_incoming(batches, known, tokenizer, champion, INCOMING, VECTORIZATION, EVALUATION, COMPUTE)


def test_no_batch_needs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert check([]) == []
    assert caplog.messages == ["No new data"]
    assert measure([], TEXTS) == ({}, {})
    report, page, batches = report_incoming([], {}, INCOMING)
    assert (report, batches) == ({"batches": []}, [])
    assert "There was nothing new." in page


def test_batches_are_taken_in_the_order_of_their_ids_and_no_text_twice() -> None:
    later, first = make_batch("bb", TEXTS[2:6]), make_batch("aa", TEXTS[4:8])
    checked = check([later, first])

    assert [one.batch.batch_id for one in checked] == ["aa", "bb"]
    assert [sorted(one.kept["text"]) for one in checked] == [sorted(TEXTS[4:8]), sorted(TEXTS[2:4])]
    assert checked[1].report["reviews"]["rejected_by_reason"] == {"known": 2}


def test_reviews_of_the_archive_and_of_accepted_batches_are_known() -> None:
    accepted = check([make_batch("aa", TEXTS[2:4])])
    (checked,) = check([make_batch("bb", TEXTS[:5])], accepted)

    assert checked.kept["text"].tolist() == TEXTS[4:5]


def test_a_batch_that_was_accepted_before_or_a_moment_ago_is_not_taken_again() -> None:
    batches = [make_batch("aa", TEXTS[2:4]), make_batch("aa", TEXTS[2:4], "copy.txt")]
    checked = check(batches)

    assert [one.outcome for one in checked] == [BatchOutcome.ACCEPTED, BatchOutcome.TAKEN_BEFORE]
    assert [one.batch.name for one in checked] == ["copy.txt", "new.txt"]
    assert check(batches[:1], checked[:1])[0].outcome is BatchOutcome.TAKEN_BEFORE


def test_drift_is_that_of_each_batch_and_of_all_together() -> None:
    checked = check([make_batch("aa", TEXTS[2:6]), make_batch("bb", TEXTS[6:8])])
    drifts, metrics = measure(checked, [*TEXTS[8:], None])

    assert drifts.keys() == {"aa", "bb"}
    assert (drifts["aa"]["reviews"], drifts["bb"]["reviews"], metrics["drift/reviews"]) == (4, 2, 6)
    mean = (4 * drifts["aa"]["words_mean"] + 2 * drifts["bb"]["words_mean"]) / 6
    assert metrics["drift/words_mean"] == pytest.approx(mean)
    assert metrics["drift/unk_rate"] > 0.5
    assert "drift/perplexity" not in metrics


def test_drift_is_left_out_without_training_reviews_and_without_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checked = check([make_batch("aa", TEXTS[2:6]), make_batch("bb", [])])

    with caplog.at_level(logging.INFO):
        assert measure(checked, []) == ({}, {})
    assert "Drift is not measured: there are no training reviews yet" in caplog.messages
    drifts, _ = measure(checked, TEXTS[8:])
    assert drifts.keys() == {"aa"}


def test_the_champion_reads_some_of_each_batch(make_champion: Callable[..., TrainedModel]) -> None:
    champion = make_champion(TEXTS, best_validation_loss=2.0)
    checked = check([make_batch("aa", TEXTS[2:6]), make_batch("bb", TEXTS[6:8])])
    drifts, metrics = measure(checked, TEXTS[8:], champion)

    vocabulary_size = len(champion.tokenizer)
    for figures in drifts.values():
        assert figures["perplexity"] == pytest.approx(vocabulary_size, rel=0.5)  # it has learnt nothing
        assert figures["training_perplexity"] == pytest.approx(7.389, abs=0.001)
        assert figures["unk_rate"] == 0
    low, high = sorted(figures["perplexity"] for figures in drifts.values())
    assert low <= metrics["drift/perplexity"] <= high
    _, _, (first, _) = report_incoming(checked, drifts, INCOMING)
    assert first.report["drift"]["warnings"].keys() == {"perplexity"}


def test_the_report_has_each_batch_with_its_drift_and_its_own_page(caplog: pytest.LogCaptureFixture) -> None:
    german = ["Das ist ein sehr langweiliger Film, leider.", "Die Musik war für mich nicht zu ertragen."]
    checked = check([make_batch("aa", TEXTS[2:6]), make_batch("bb", german, "german.txt")])
    drifts, _ = measure(checked, TEXTS[8:])

    report, page, batches = report_incoming(checked, drifts, INCOMING)

    assert [one["outcome"] for one in report["batches"]] == ["accepted", "quarantined"]
    assert [one.report for one in batches] == report["batches"]
    assert report["batches"][0]["drift"]["figures"] == drifts["aa"]
    assert report["batches"][1]["drift"]["warnings"].keys() == {"words_ks_distance", "new_word_share"}
    assert "New data: 2 batches" in page
    assert ["german.txt" in one.page for one in batches] == [False, True]
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings[0] == "german.txt: quarantined, 0 of 2 reviews taken (2 other_language)"
    assert any("other_languages_are_rare" in line for line in warnings)
    assert any("the share of words that no training review has is" in line for line in warnings)
