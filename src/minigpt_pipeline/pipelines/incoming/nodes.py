"""From what was dropped into the project to reviews that training may see, or to a quarantine."""

import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from minigpt_pipeline.expectations.incoming_batch import (
    add_drift,
    describe_batch,
    judge_batch,
    recognize_batch,
)
from minigpt_pipeline.expectations.incoming_page import render_incoming
from minigpt_pipeline.files import printable
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import (
    ComputeSettings,
    EvaluationParameters,
    IncomingParameters,
    IngestionParameters,
    ValidationParameters,
    VectorizationParameters,
)
from minigpt_pipeline.text.drift import add_figures, describe_corpus, find_drift, measure_drift
from minigpt_pipeline.text.evaluation_windows import MEASURED_WORDS, make_evaluation_windows
from minigpt_pipeline.text.film_split import keep_part
from minigpt_pipeline.text.incoming_batch import BatchOutcome, CheckedBatch, IncomingBatch, find_batch_ids
from minigpt_pipeline.text.known_texts import KnownTexts
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.token_tables import mark_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.word_losses import perplexity

logger = logging.getLogger(__name__)

ROWS_OF_A_PIECE = 1024


def check_incoming(
    incoming_batches: list[IncomingBatch],
    known_reviews: Iterable[pa.RecordBatch] | None,
    accepted_reviews: pd.DataFrame,
    incoming: IncomingParameters,
    validation: ValidationParameters,
    ingestion: IngestionParameters,
) -> list[CheckedBatch]:
    """Judge each batch as a whole.

    Args:
        incoming_batches: What was dropped.
        known_reviews: Columns `text` and `label`: the reviews of the last ingestion; null before the first.
        accepted_reviews: Those of batches that were accepted before.
        incoming: The bounds.
        validation: Bounds of lengths and labels.
        ingestion: How texts lie in files.

    Returns:
        The batches in the order of their ids; a text that two of them have is taken from the first.
    """
    if not incoming_batches:
        logger.info("No new data")
        return []
    known = KnownTexts()
    known.add_pieces(known_reviews or ())
    known.add(accepted_reviews)
    taken = set(find_batch_ids(accepted_reviews["review_id"]))
    checked = []
    for batch in sorted(incoming_batches, key=lambda one: (one.batch_id, one.name)):
        logger.info("Checking %s, %.1f MB", printable(batch.name), batch.size / 1e6)
        is_taken = batch.batch_id in taken
        one = (
            recognize_batch(batch) if is_taken else judge_batch(batch, known, incoming, validation, ingestion)
        )
        if one.outcome is BatchOutcome.ACCEPTED:
            taken.add(batch.batch_id)
            known.add(one.kept)
        checked.append(one)
    return checked


def measure_incoming(
    checked_batches: list[CheckedBatch],
    known_reviews: Iterable[pa.RecordBatch] | None,
    known_tokenizer: Tokenizer | None,
    champion: TrainedModel | None,
    incoming: IncomingParameters,
    vectorization: VectorizationParameters,
    evaluation: EvaluationParameters,
    compute: ComputeSettings,
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Measure how far each batch is from the reviews of the training films.

    Args:
        checked_batches: Accepted or not.
        known_reviews: Columns `review_id`, `movie_id`, `label`, `text`: the reviews of the last ingestion.
        known_tokenizer: The newest; it serves where there is no champion.
        champion: The model in use, if any.
        incoming: How many reviews the champion reads.
        vectorization: The shares of the films.
        evaluation: The seed, and how many windows the champion reads at once.
        compute: Where it computes.

    Returns:
        Figures by batch id, as `text.drift.measure_drift` describes, and `perplexity` on words 2 to 81 with
        `training_perplexity` on the champion's validation films; then those of all batches together as `drift/...`.
        None of a batch without words, and none at all where there is nothing to compare with.
    """
    pieces = {one.batch.batch_id: _cut_into_pieces(one.measured) for one in checked_batches}
    new = {batch_id: describe_corpus(one) for batch_id, one in pieces.items()}
    new = {batch_id: figures for batch_id, figures in new.items() if figures.lengths.sum()}
    if not new:
        return {}, {}
    training = describe_corpus(keep_part(known_reviews or (), "train", vectorization.split))
    if not training.lengths.sum():
        logger.info("Drift is not measured: there are no training reviews yet")
        return {}, {}
    tokenizer = champion.tokenizer if champion else known_tokenizer
    drifts = {
        name: measure_drift(one, training, tokenizer, evaluation.seed)
        for name, one in (new | {"": add_figures(list(new.values()))}).items()
    }
    if champion is not None:
        losses = {
            name: _score(champion, pieces[name], incoming.drift.perplexity_reviews, evaluation, compute)
            for name in new
        }
        losses[""] = np.concatenate(list(losses.values()))
        for name in drifts:
            drifts[name] |= _compare_with_validation_films(losses[name], champion)
    together = drifts.pop("")
    return drifts, {f"drift/{name}": value for name, value in together.items()}


def report_incoming(
    checked_batches: list[CheckedBatch],
    batch_drifts: dict[str, dict[str, float]],
    incoming: IncomingParameters,
) -> tuple[dict[str, Any], str, list[CheckedBatch]]:
    """Say of each batch what became of it, and why.

    Args:
        checked_batches: The batches.
        batch_drifts: Figures by batch id.
        incoming: From where on a figure is a warning.

    Returns:
        The report, with one of each batch; the page that shows it; the batches, each with its own.
    """
    batches = []
    for checked in checked_batches:
        figures = batch_drifts.get(checked.batch.batch_id, {})
        warnings = find_drift(figures, incoming.drift) if figures else {}
        one = add_drift(checked, figures, warnings)
        batches.append(replace(one, page=render_incoming([one.report])))
        is_good = one.outcome is not BatchOutcome.QUARANTINED
        logger.log(logging.INFO if is_good else logging.WARNING, "%s", describe_batch(one.report))
        for line in (*one.report["reasons"], *one.report["warnings"], *warnings.values()):
            logger.warning("%s: %s", one.report["name"], line)
    reports = [one.report for one in batches]
    return {"batches": reports}, render_incoming(reports), batches


def _cut_into_pieces(reviews: pd.DataFrame) -> list[pa.RecordBatch]:
    table = pa.Table.from_pandas(reviews[["text", "label"]], preserve_index=False)
    schema = pa.schema({"text": pa.large_string(), "label": pa.large_string()})
    pieces: list[pa.RecordBatch] = table.cast(schema).to_batches(ROWS_OF_A_PIECE)
    return pieces


def _score(
    champion: TrainedModel,
    pieces: list[pa.RecordBatch],
    max_reviews: int,
    evaluation: EvaluationParameters,
    compute: ComputeSettings,
) -> np.ndarray:
    """Return the champion's loss of each measured word, float64, in nats, of evenly spread reviews."""
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.evaluation import Evaluator

    configure_compute(compute)
    texts = pa.Table.from_batches(pieces)["text"]
    rows = np.unique(np.linspace(0, len(texts) - 1, max_reviews).round().astype(np.int64))
    tokenizer, model = champion.tokenizer, champion.load_model()
    token_ids = tokenizer.encode_lists(split_words(texts.take(pa.array(rows))))
    table = mark_tokens(pa.table({"token_ids": token_ids}), tokenizer)
    windows = make_evaluation_windows(
        table, tokenizer, model.sequence_length, MEASURED_WORDS, champion.has_learnt_ends
    )
    if not len(windows.scored):
        return np.zeros(0)
    losses: np.ndarray = Evaluator(model, evaluation.batch_size).score(windows).losses
    return losses


def _compare_with_validation_films(losses: np.ndarray, champion: TrainedModel) -> dict[str, float]:
    loss = champion.metadata.get("best_validation_loss")
    if not len(losses):
        return {}
    figures = {"perplexity": perplexity(float(losses.mean()))}
    if loss is not None:
        figures["training_perplexity"] = perplexity(float(loss))
    return {name: value for name, value in figures.items() if math.isfinite(value)}
