"""What was checked and what was found: one JSON-able dictionary, the same for the same reviews."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from minigpt_pipeline.expectations.excerpts import cut
from minigpt_pipeline.expectations.outcome import Outcome

FORMAT_VERSION = 1
MAX_EXAMPLES = 5
"""Failing reviews that a report shows of each expectation."""

ValidationReport = dict[str, Any]
"""Keys: `format_version`, `accepted`, `refused_by`, `warnings`, `reviews`, `expectations`, `skipped`."""


class ReviewsRefusedError(ValueError):
    """A batch of reviews broke a critical expectation."""


def build_report(
    table: pd.DataFrame, outcomes: Sequence[Outcome], skipped: Sequence[dict[str, str]]
) -> ValidationReport:
    """Put the outcomes of all expectations into one report.

    Args:
        table: The reviews with their `rejection_reason`, null for those that are kept.
        outcomes: Their `failing_rows` are positions in the table.
        skipped: `name` and `reason` of each expectation that was left out.

    Returns:
        `accepted`: whether the run goes on. `refused_by`, `warnings`: names of the broken expectations that stop it and
        that do not. `reviews`: how many were read, kept, rejected, and the latter by reason. `expectations`, `skipped`.
    """
    by_reason = table["rejection_reason"].value_counts().sort_index()
    num_rejected = int(by_reason.sum())
    return {
        "format_version": FORMAT_VERSION,
        "accepted": not any(outcome.refuses_batch for outcome in outcomes),
        "refused_by": [outcome.name for outcome in outcomes if outcome.refuses_batch],
        "warnings": [
            outcome.name for outcome in outcomes if not outcome.success and not outcome.refuses_batch
        ],
        "reviews": {
            "read": len(table),
            "kept": len(table) - num_rejected,
            "rejected": num_rejected,
            "rejected_by_reason": {str(reason): int(count) for reason, count in by_reason.items()},
        },
        "expectations": [_describe_outcome(outcome, table) for outcome in outcomes],
        "skipped": list(skipped),
    }


def describe_refusal(report: ValidationReport) -> str:
    """Return a message that names each expectation which stops the run, with what was found, and the next step."""
    broken = [one for one in report["expectations"] if one["name"] in report["refused_by"]]
    counts = report["reviews"]
    lines = [
        f"raw_reviews is refused: of {counts['read']:,} reviews {counts['rejected']:,} are rejected "
        f"({describe_counts(counts['rejected_by_reason'])}), and {len(broken)} expectation(s) stop the run.",
        *(f"  {one['name']}: {describe_finding(one)}" for one in broken),
        "Nothing downstream has run. validation_report and validation_data_docs have the details, rejected_reviews "
        "the rows: repair the source of raw_reviews, or change a bound in conf/base/parameters_validation.yml.",
    ]
    return "\n".join(lines)


def describe_counts(by_reason: dict[str, int]) -> str:
    """Return `418 duplicate, 2 too_short`, or `none`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in by_reason.items()) or "none"


def describe_warnings(report: ValidationReport, with_examples: bool = True) -> list[str]:
    """Return a line for each broken expectation that neither stops the run nor rejects rows, counted by reason."""
    return [
        f"{one['name']}: {describe_finding(one, with_examples)}"
        for one in report["expectations"]
        if one["name"] in report["warnings"] and one["rejects_as"] is None
    ]


def _describe_outcome(outcome: Outcome, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "description": outcome.description,
        "expectation": outcome.expectation,
        "columns": list(outcome.columns),
        "severity": outcome.severity,
        "success": outcome.success,
        "bounds": outcome.bounds,
        "observed": outcome.observed,
        "failing_rows": len(outcome.failing_rows),
        "failing_share": outcome.failing_share,
        "examples": [
            _describe_row(table, row, outcome.columns) for row in outcome.failing_rows[:MAX_EXAMPLES]
        ],
        "rejects_as": outcome.rejects_as,
        "error": outcome.error,
    }


def _describe_row(table: pd.DataFrame, row: int, columns: Sequence[str]) -> dict[str, str | None]:
    """Return the id of a review and its offending values, cut short."""
    review_id = table["review_id"].iloc[row] if "review_id" in table else None
    values = [table[column].iloc[row] for column in columns]
    shown = ["null" if pd.isna(value) else str(value) for value in values]
    return {"review_id": None if pd.isna(review_id) else cut(str(review_id)), "value": cut(", ".join(shown))}


def describe_finding(one: dict[str, Any], with_examples: bool = True) -> str:
    """Return the rule of an expectation and what was found, in a line."""
    if one["error"] is not None:
        return f"{one['description']} It could not be checked: {one['error']}"
    if one["failing_share"] is None:
        return f"{one['description']} Found: {one['observed']}."
    found = f"{one['description']} {one['failing_rows']:,} ({one['failing_share']:.2%}) break this"
    examples = ", ".join(f"{example['review_id']} ({example['value']!r})" for example in one["examples"])
    return f"{found}, first {examples}." if with_examples else f"{found}."
