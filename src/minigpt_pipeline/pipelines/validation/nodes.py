"""From whatever was read to reviews that everything downstream can rely on."""

import logging

import pandas as pd

from minigpt_pipeline.expectations.page import render_report
from minigpt_pipeline.expectations.report import (
    ReviewsRefusedError,
    ValidationReport,
    describe_counts,
    describe_refusal,
    describe_warnings,
)
from minigpt_pipeline.expectations.review_check import check_batch
from minigpt_pipeline.parameters import ValidationParameters

logger = logging.getLogger(__name__)


def check_reviews(
    raw_reviews: pd.DataFrame, validation: ValidationParameters
) -> tuple[pd.DataFrame, pd.DataFrame, ValidationReport, str, dict[str, bytes]]:
    """Judge each review, and the batch as a whole.

    Nothing is refused here, so that the report of a batch is saved before `accept_reviews` stops the run.

    Args:
        raw_reviews: Columns `review_id`, `split`, `label`, `rating`, `movie_id`, `text`.
        validation: The bounds.

    Returns:
        The reviews that keep every rule, sorted by review_id; those that do not, with a `reason`; the report; the
        page that shows it; the Data Docs, a content for each path.
    """
    logger.info("Checking %s reviews", f"{len(raw_reviews):,}")
    check = check_batch(raw_reviews, validation)
    counts = check.report["reviews"]
    logger.info(
        "%s reviews read, %s kept, rejected: %s",
        f"{counts['read']:,}",
        f"{counts['kept']:,}",
        describe_counts(counts["rejected_by_reason"]),
    )
    for line in describe_warnings(check.report):
        logger.warning("Expectation %s", line)
    return check.kept, check.rejected, check.report, render_report(check.report), check.render()


def accept_reviews(checked_reviews: pd.DataFrame, validation_report: ValidationReport) -> pd.DataFrame:
    """Let the reviews through, or stop the run.

    Args:
        checked_reviews: The reviews that keep every rule.
        validation_report: What `check_reviews` found in the batch they come from.

    Returns:
        The same reviews.

    Raises:
        ReviewsRefusedError: If the batch broke a critical expectation; the message names each.
    """
    if not validation_report["accepted"]:
        raise ReviewsRefusedError(describe_refusal(validation_report))
    return checked_reviews
