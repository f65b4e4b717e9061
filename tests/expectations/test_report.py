import json
from dataclasses import replace

import pandas as pd
import pytest

from minigpt_pipeline.expectations.outcome import Outcome
from minigpt_pipeline.expectations.report import build_report, describe_refusal, describe_warnings
from minigpt_pipeline.expectations.review_check import check_batch
from minigpt_pipeline.parameters import ValidationParameters

REJECTED = Outcome(
    name="rejected_rows_are_few",
    description="At most 3.00% of the reviews are rejected.",
    expectation="expect_column_values_to_be_null",
    columns=("rejection_reason",),
    severity="critical",
    success=False,
    bounds={"max_failing_share": 0.03},
    failing_rows=(0, 2),
    failing_share=0.4,
)
MARKUP = replace(
    REJECTED, name="markup_is_rare", description="No tags.", severity="warning", columns=("text",)
)
BALANCE = Outcome(
    name="labels_are_balanced",
    description="Between 40% and 60% of the labelled reviews are positive.",
    expectation="expect_column_mean_to_be_between",
    columns=("is_positive",),
    severity="critical",
    success=False,
    bounds={"min_value": 0.4, "max_value": 0.6},
    observed=0.93,
)


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "review_id": [f"train/pos/{number}" for number in range(5)],
            "text": ["A short one."] * 4 + ["A long one. " * 50],
            "rejection_reason": ["duplicate", None, "too_short", None, None],
            "is_positive": 1.0,
        }
    )


def test_report_counts_reviews_by_reason(table: pd.DataFrame) -> None:
    assert build_report(table, [], [])["reviews"] == {
        "read": 5,
        "kept": 3,
        "rejected": 2,
        "rejected_by_reason": {"duplicate": 1, "too_short": 1},
    }


def test_report_tells_refusals_from_warnings(table: pd.DataFrame) -> None:
    report = build_report(table, [REJECTED, MARKUP, replace(BALANCE, success=True)], [])
    assert report["refused_by"] == ["rejected_rows_are_few"]
    assert report["warnings"] == ["markup_is_rare"]
    assert not report["accepted"]
    assert build_report(table, [MARKUP], [])["accepted"]


def test_report_refuses_where_a_warning_could_not_be_evaluated(table: pd.DataFrame) -> None:
    report = build_report(table, [replace(MARKUP, error="no such metric")], [])
    assert report["refused_by"] == ["markup_is_rare"]
    assert not report["accepted"]


def test_report_shows_few_examples_cut_short(table: pd.DataFrame) -> None:
    many = pd.concat([table] * 4, ignore_index=True)
    (one,) = build_report(many, [replace(MARKUP, failing_rows=tuple(range(4, 20)))], [])["expectations"]
    assert one["failing_rows"] == 16
    assert len(one["examples"]) == 5
    assert one["examples"][0]["review_id"] == "train/pos/4"
    assert one["examples"][0]["value"] == ("A long one. " * 50)[:59] + "…"


def test_describe_refusal_names_each_rule_with_what_was_found_and_the_next_step(table: pd.DataFrame) -> None:
    message = describe_refusal(build_report(table, [REJECTED, MARKUP, BALANCE], []))
    assert message.splitlines() == [
        "raw_reviews is refused: of 5 reviews 2 are rejected (1 duplicate, 1 too_short), "
        "and 2 expectation(s) stop the run.",
        "  rejected_rows_are_few: At most 3.00% of the reviews are rejected. 2 (40.00%) break this, first "
        "train/pos/0 ('duplicate'), train/pos/2 ('too_short').",
        "  labels_are_balanced: Between 40% and 60% of the labelled reviews are positive. Found: 0.93.",
        "Nothing downstream has run. validation_report and validation_data_docs have the details, rejected_reviews "
        "the rows: repair the source of raw_reviews, or change a bound in conf/base/parameters_validation.yml.",
    ]


def test_describe_refusal_says_why_a_rule_could_not_be_checked(table: pd.DataFrame) -> None:
    message = describe_refusal(build_report(table, [replace(BALANCE, error="not a number")], []))
    assert "It could not be checked: not a number" in message


def test_describe_warnings_leaves_rejected_rows_to_their_count(table: pd.DataFrame) -> None:
    report = build_report(table, [MARKUP, replace(MARKUP, name="text_is_unique", rejects_as="duplicate")], [])
    assert report["warnings"] == ["markup_is_rare", "text_is_unique"]
    (line,) = describe_warnings(report)
    assert line.startswith("markup_is_rare: No tags. 2 (40.00%) break this")


def test_report_of_a_real_check_is_json_and_always_the_same(
    batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    batch.loc[1, ["text", "rating"]] = ["Ça alors, un très beau film !", None]
    batch.loc[2, "review_id"] = None
    batch.loc[6, "text"] = batch.loc[5, "text"]
    first, second = (json.dumps(check_batch(batch, bounds).report, allow_nan=False) for _ in range(2))
    assert first == second
    assert json.loads(first) == check_batch(batch, bounds).report
