"""The whole check of a batch of reviews: rules, verdicts, report and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    from great_expectations.expectations import Expectation

    from minigpt_pipeline.expectations.outcome import Severity


@dataclass(frozen=True)
class FurtherRules:
    """What a batch must keep besides.

    Args:
        columns: What the rules look at, a row for each review.
        rules: Row rules reject behind those of `raw_reviews`.
        severities: Of rules by their names, in place of those that they have.
    """

    columns: pd.DataFrame = field(default_factory=pd.DataFrame)
    rules: tuple[Expectation, ...] = ()
    severities: Mapping[str, Severity] = field(default_factory=dict)


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


def check_batch(
    raw_reviews: pd.DataFrame, parameters: ValidationParameters, further: FurtherRules | None = None
) -> ReviewCheck:
    """Check a batch of reviews against every expectation that its columns allow.

    Args:
        raw_reviews: Left unchanged.
        parameters: The bounds.
        further: Rules of this batch alone.

    Returns:
        Also for a batch that is to be refused; its report says so.
    """
    further = further or FurtherRules()
    reviews = raw_reviews.reset_index(drop=True)
    present = find_present_columns(reviews)
    checked = [_run(build_raw_reviews_suite(parameters, present), reviews)]
    if further.rules:
        checked.append(_run(_name_suite("further_rules", further.rules), further.columns))
    row_outcomes = [to_outcome(result) for _, results in checked for result in results.results]
    reasons = judge_rows(reviews, row_outcomes)

    verdicts = pd.DataFrame({"rejection_reason": reasons, "is_positive": _find_positive(reviews)})
    checked.append(_run(build_verdicts_suite(parameters, present), verdicts))
    outcomes = [*row_outcomes, *(to_outcome(result) for result in checked[-1][1].results)]
    outcomes = [replace(one, severity=further.severities.get(one.name, one.severity)) for one in outcomes]

    kept, rejected = split_reviews(reviews, reasons)
    suites, results = zip(*checked, strict=True)
    table = reviews.assign(**further.columns, **verdicts)
    return ReviewCheck(
        kept, rejected, build_report(table, outcomes, list_skipped(parameters, present)), suites, results
    )


def _name_suite(name: str, rules: Sequence[Expectation]) -> ExpectationSuite:
    from great_expectations import ExpectationSuite

    return ExpectationSuite(name=name, expectations=list(rules))


def _run(
    suite: ExpectationSuite, table: pd.DataFrame
) -> tuple[ExpectationSuite, ExpectationSuiteValidationResult]:
    return suite, run_suite(suite, table)


def _find_positive(reviews: pd.DataFrame) -> pd.Series:
    """Return 1.0 for `pos`, 0.0 for `neg`, and null for any other label or none."""
    if "label" not in reviews:
        return pd.Series(float("nan"), index=reviews.index)
    return reviews["label"].map({"pos": 1.0, "neg": 0.0}).astype("float64")
