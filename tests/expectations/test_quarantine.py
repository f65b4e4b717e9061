import pandas as pd
import pytest

from minigpt_pipeline.expectations.outcome import Outcome
from minigpt_pipeline.expectations.quarantine import judge_rows, split_reviews

UNIQUE = "expect_column_values_to_be_unique"


def make_outcome(
    rejects_as: str | None, rows: list[int], expectation: str = "a_rule", column: str = "text"
) -> Outcome:
    return Outcome(
        name=f"rule_about_{rejects_as}",
        description="A rule.",
        expectation=expectation,
        columns=(column,),
        severity="warning",
        success=not rows,
        bounds={},
        failing_rows=tuple(rows),
        rejects_as=rejects_as,
    )


@pytest.fixture
def reviews() -> pd.DataFrame:
    return pd.DataFrame({"review_id": ["e", "d", "c", "b", "a"], "text": ["one", "two", "one", "one", "two"]})


def test_judge_rows_gives_the_reason_of_the_first_rule_that_a_row_breaks(reviews: pd.DataFrame) -> None:
    reasons = judge_rows(reviews, [make_outcome("too_short", [1, 2]), make_outcome("unknown_split", [2, 3])])
    assert reasons.isna().tolist() == [True, False, False, False, True]
    assert reasons.dropna().tolist() == ["too_short", "too_short", "unknown_split"]


def test_judge_rows_passes_over_rules_that_reject_nothing(reviews: pd.DataFrame) -> None:
    assert judge_rows(reviews, [make_outcome(None, [0, 1])]).isna().all()


def test_judge_rows_keeps_the_copy_with_the_first_id(reviews: pd.DataFrame) -> None:
    reasons = judge_rows(reviews, [make_outcome("duplicate", [0, 1, 2, 3, 4], UNIQUE)])
    assert reviews.loc[reasons.isna(), "review_id"].tolist() == ["b", "a"]


def test_judge_rows_keeps_a_copy_of_every_text_when_the_first_is_rejected_otherwise(
    reviews: pd.DataFrame,
) -> None:
    outcomes = [make_outcome("unknown_split", [3]), make_outcome("duplicate", [0, 1, 2, 3, 4], UNIQUE)]
    reasons = judge_rows(reviews, outcomes)
    assert reviews.loc[reasons.isna(), "review_id"].tolist() == ["c", "a"]
    assert reasons[3] == "unknown_split"


def test_judge_rows_keeps_the_first_of_two_rows_with_the_same_id() -> None:
    reviews = pd.DataFrame({"review_id": ["a", "a", "b"], "text": ["one", "two", "three"]})
    reasons = judge_rows(reviews, [make_outcome("duplicate_id", [0, 1], UNIQUE, "review_id")])
    assert reasons.isna().tolist() == [True, False, True]


def test_split_reviews_sorts_both_parts_and_loses_none(reviews: pd.DataFrame) -> None:
    kept, rejected = split_reviews(
        reviews, pd.Series([None, "duplicate", None, "too_long", None], dtype="str")
    )
    assert kept["review_id"].tolist() == ["a", "c", "e"]
    assert rejected["review_id"].tolist() == ["b", "d"]
    assert rejected["reason"].tolist() == ["too_long", "duplicate"]
    assert "reason" not in kept
