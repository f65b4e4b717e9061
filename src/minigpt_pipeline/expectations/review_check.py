"""The whole check of a batch of reviews: rules, verdicts, report and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from minigpt_pipeline.expectations.data_docs import render_data_docs
from minigpt_pipeline.expectations.quarantine import judge_rows, split_reviews
from minigpt_pipeline.expectations.raw_reviews import (
    build_raw_reviews_suite,
    build_verdicts_suite,
    find_present_columns,
    list_skipped,
)
from minigpt_pipeline.expectations.report import ValidationReport, build_report
from minigpt_pipeline.expectations.suite_runner import run_suite, to_outcome
from minigpt_pipeline.parameters import ValidationParameters

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core import ExpectationSuiteValidationResult


@dataclass(frozen=True)
class ReviewCheck:
    """What became of a batch of reviews."""

    kept: pd.DataFrame
    """The columns of the batch, sorted by review_id."""
    rejected: pd.DataFrame
    """The same with a `reason`."""
    report: ValidationReport
    suites: tuple[ExpectationSuite, ...]
    results: tuple[ExpectationSuiteValidationResult, ...]
    """Of each suite."""

    def render(self) -> dict[str, bytes]:
        """Return the Data Docs, as `data_docs.render_data_docs` describes."""
        return render_data_docs(self.suites, self.results)


def check_batch(raw_reviews: pd.DataFrame, parameters: ValidationParameters) -> ReviewCheck:
    """Check a batch of reviews against every expectation that its columns allow.

    Args:
        raw_reviews: Left unchanged.
        parameters: The bounds.

    Returns:
        Also for a batch that is to be refused; its report says so.
    """
    reviews = raw_reviews.reset_index(drop=True)
    present = find_present_columns(reviews)
    row_suite = build_raw_reviews_suite(parameters, present)
    row_results = run_suite(row_suite, reviews)
    row_outcomes = [to_outcome(result) for result in row_results.results]
    reasons = judge_rows(reviews, row_outcomes)

    verdicts = pd.DataFrame({"rejection_reason": reasons, "is_positive": _find_positive(reviews)})
    verdict_suite = build_verdicts_suite(parameters, present)
    verdict_results = run_suite(verdict_suite, verdicts)
    outcomes = [*row_outcomes, *(to_outcome(result) for result in verdict_results.results)]

    kept, rejected = split_reviews(reviews, reasons)
    return ReviewCheck(
        kept=kept,
        rejected=rejected,
        report=build_report(reviews.assign(**verdicts), outcomes, list_skipped(parameters, present)),
        suites=(row_suite, verdict_suite),
        results=(row_results, verdict_results),
    )


def _find_positive(reviews: pd.DataFrame) -> pd.Series:
    """Return 1.0 for `pos`, 0.0 for `neg`, and null for any other label or none."""
    if "label" not in reviews:
        return pd.Series(float("nan"), index=reviews.index)
    return reviews["label"].map({"pos": 1.0, "neg": 0.0}).astype("float64")
