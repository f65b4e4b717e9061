"""From the lines that servers write to figures beside those of training data, and warnings."""

import logging
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.monitoring.figures import (
    TrainingReviews,
    choose_training_reviews,
    encode_training_reviews,
)
from minigpt_pipeline.monitoring.page import render_monitoring
from minigpt_pipeline.monitoring.report import describe_served
from minigpt_pipeline.monitoring.warnings import ALL, find_warnings
from minigpt_pipeline.parameters import MonitoringParameters, VectorizationParameters
from minigpt_pipeline.text.film_split import keep_part
from minigpt_pipeline.text.served_days import ServedDays
from minigpt_pipeline.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def measure_served_texts(
    served_texts: ServedDays,
    known_reviews: Iterable[pa.RecordBatch] | None,
    known_tokenizer: Tokenizer | None,
    champion: TrainedModel | None,
    monitoring: MonitoringParameters,
    vectorization: VectorizationParameters,
) -> dict[str, Any]:
    """Measure what was served in the window, and the training reviews that it is held against.

    Args:
        served_texts: What servers have kept of each text.
        known_reviews: Columns `review_id`, `movie_id`, `text`: the reviews of the last ingestion.
        known_tokenizer: The newest; it serves where there is no champion.
        champion: The model in use, if any.
        monitoring: Which window, and how many reviews.
        vectorization: The shares of the films.

    Returns:
        As `monitoring.report.describe_served`, and `data`.
    """
    records = served_texts.read(monitoring.window_hours, monitoring.num_examples)
    tokenizer = champion.tokenizer if champion else known_tokenizer
    context = champion.sequence_length if champion else None
    reviews = None
    if known_reviews is not None and tokenizer is not None and len(records.texts) >= monitoring.min_texts:
        is_packed = champion is not None and champion.has_learnt_ends
        reviews = _choose_reviews(
            known_reviews, tokenizer, context, is_packed, monitoring.training_reviews, vectorization
        )
    described = describe_served(records, reviews, context, monitoring.min_texts)
    return {"data": served_texts.data, **described}


def report_served_texts(
    served_figures: dict[str, Any], monitoring: MonitoringParameters
) -> tuple[dict[str, Any], str, dict[str, float]]:
    """Say what was served, and which figures are beyond their bounds.

    Args:
        served_figures: What `measure_served_texts` returns.
        monitoring: The bounds.

    Returns:
        The report; the page that shows it; the figures of all versions together as `served/...`, with the number of
        warnings.
    """
    warnings = find_warnings(served_figures["figures"], monitoring.bounds)
    for warning in warnings:
        logger.warning("%s", warning["text"])
    report = served_figures | {"warnings": warnings}
    metrics = {f"served/{name}": value for name, value in served_figures["figures"][ALL].items()}
    return report, render_monitoring(report), metrics | {"served/warnings": float(len(warnings))}


def _choose_reviews(
    known_reviews: Iterable[pa.RecordBatch],
    tokenizer: Tokenizer,
    context: int | None,
    is_packed: bool,
    num_reviews: int,
    vectorization: VectorizationParameters,
) -> TrainingReviews | None:
    pieces = keep_part(known_reviews, "train", vectorization.split)
    num_rows = int(getattr(known_reviews, "num_rows", 0) * vectorization.split.train)
    texts = choose_training_reviews(pieces, num_rows, num_reviews)
    return None if texts is None else encode_training_reviews(texts, tokenizer, context, is_packed)
