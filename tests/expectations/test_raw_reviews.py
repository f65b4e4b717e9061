"""Each expectation has a bad batch that it refuses, or whose bad row it rejects."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import pytest

from minigpt_pipeline.expectations.raw_reviews import (
    build_raw_reviews_suite,
    build_verdicts_suite,
    find_present_columns,
    list_skipped,
)
from minigpt_pipeline.expectations.review_check import check_batch
from minigpt_pipeline.parameters import ValidationParameters
from minigpt_pipeline.text.imdb import REVIEW_COLUMNS

ROW = 4


@dataclass(frozen=True)
class BadRow:
    """A change to one row, the expectation that it breaks, and the reason it is rejected with."""

    expectation: str
    reason: str
    changes: dict[str, object]


BAD_ROWS = (
    BadRow("review_id_is_there", "missing_id", {"review_id": None}),
    BadRow("review_id_is_unique", "duplicate_id", {"review_id": "train/neg/003"}),
    BadRow("text_is_there", "missing_text", {"text": None}),
    BadRow("text_is_not_blank", "blank_text", {"text": " \n\t\x85\u2028 " * 3}),
    BadRow("text_is_long_enough", "too_short", {"text": "Too bad."}),
    BadRow("text_is_short_enough", "too_long", {"text": "Far too long. " * 20}),
    BadRow("split_is_there", "missing_split", {"split": None}),
    BadRow("split_is_known", "unknown_split", {"split": "dev"}),
    BadRow("label_is_known", "unknown_label", {"label": "neutral"}),
    BadRow("rating_agrees_with_label", "rating_disagrees_with_label", {"rating": 7}),
    BadRow("text_is_unique", "duplicate", {"text": "A dull drama.<br />Number 9 of the year."}),
)


def change_column(
    column: str, value: Callable[[int], object], rows: int = 20
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Replace the first values of a column; the type follows the values if all are replaced."""

    def change(batch: pd.DataFrame) -> pd.DataFrame:
        values = batch[column].tolist()
        values[:rows] = [value(row) for row in range(rows)]
        changed = pd.Series(values, index=batch.index)
        return batch.assign(
            **{column: changed if rows == len(batch) else changed.astype(batch[column].dtype)}
        )

    return change


BAD_BATCHES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "columns_are_complete": lambda batch: batch[["text", *REVIEW_COLUMNS[:-1]]],
    "review_id_has_its_type": change_column("review_id", lambda row: row),
    "split_has_its_type": change_column("split", lambda row: row),
    "label_has_its_type": change_column("label", lambda row: row),
    "rating_has_its_type": change_column("rating", lambda row: "8" if row > 9 else "2"),
    "movie_id_has_its_type": change_column("movie_id", lambda row: row),
    "text_has_its_type": change_column("text", lambda row: row),
    "reviews_are_enough": lambda batch: batch.iloc[6:15],
    "duplicates_are_few": change_column("text", lambda row: "The same text again and again.", rows=6),
    "rejected_rows_are_few": change_column("split", lambda row: "dev", rows=11),
    "labels_are_balanced": lambda batch: batch.assign(
        label="pos", rating=batch["rating"].where(batch["rating"] > 6, 7)
    ),
    "non_ascii_is_rare": change_column("text", lambda row: f"Très mauvais, numéro {row}.", rows=5),
    "markup_is_rare": change_column("text", lambda row: f"A <i>very</i> dull film, number {row}.", rows=5),
}
WARNINGS = ("non_ascii_is_rare", "markup_is_rare")


def find_broken(report: dict) -> set[str]:
    return {one["name"] for one in report["expectations"] if not one["success"]}


def test_check_accepts_a_good_batch_whole(batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    check = check_batch(batch, bounds)
    assert check.report["accepted"]
    assert find_broken(check.report) == set()
    assert check.report["skipped"] == []
    assert check.rejected.empty
    pd.testing.assert_frame_equal(check.kept, batch)


@pytest.mark.parametrize("bad", BAD_ROWS, ids=lambda bad: bad.reason)
def test_row_rule_rejects_its_row_and_no_other(
    bad: BadRow, batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    for column, value in bad.changes.items():
        batch.loc[ROW, column] = value
    check = check_batch(batch, bounds)
    # A label that nobody knows agrees with no rating either: then the first reason counts.
    allowed = (
        {bad.expectation, "rating_agrees_with_label"} if bad.reason == "unknown_label" else {bad.expectation}
    )
    assert bad.expectation in find_broken(check.report) <= allowed
    assert check.rejected["reason"].tolist() == [bad.reason]
    assert len(check.kept) == len(batch) - 1
    assert check.report["accepted"]
    assert check.report["refused_by"] == []


@pytest.mark.parametrize("name", BAD_BATCHES)
def test_batch_rule_refuses_its_batch(name: str, batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    report = check_batch(BAD_BATCHES[name](batch), bounds).report
    if name in WARNINGS:
        assert find_broken(report) == {name}
        assert report["warnings"] == [name]
        assert report["accepted"]
    elif name.endswith("_has_its_type"):  # rules that can't be evaluated on the wrong type refuse as well
        assert name in report["refused_by"]
    else:
        assert report["refused_by"] == [name]
        assert not report["accepted"]


def test_suites_have_a_bad_batch_for_each_expectation(bounds: ValidationParameters) -> None:
    suites = [build(bounds, set(REVIEW_COLUMNS)) for build in (build_raw_reviews_suite, build_verdicts_suite)]
    names = [expectation.meta["name"] for suite in suites for expectation in suite.expectations]
    assert len(names) == len(set(names))
    assert set(names) == {bad.expectation for bad in BAD_ROWS} | set(BAD_BATCHES)


def test_suite_says_what_rows_are_rejected_as_in_a_fixed_order(bounds: ValidationParameters) -> None:
    suite = build_raw_reviews_suite(bounds, set(REVIEW_COLUMNS))
    reasons = [
        expectation.meta["rejects_as"]
        for expectation in suite.expectations
        if "rejects_as" in expectation.meta
    ]
    assert reasons == [bad.reason for bad in BAD_ROWS]


def test_check_leaves_out_what_plain_text_does_not_have(
    batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    plain = batch.assign(label=None, rating=pd.array([None] * len(batch), dtype="Int8"), movie_id=None)
    report = check_batch(plain, bounds).report
    assert report["accepted"]
    assert find_broken(report) == set()
    assert report["skipped"] == [
        {"name": "label_has_its_type", "reason": "no value in label"},
        {"name": "rating_has_its_type", "reason": "no value in rating"},
        {"name": "movie_id_has_its_type", "reason": "no value in movie_id"},
        {"name": "label_is_known", "reason": "no value in label"},
        {"name": "rating_agrees_with_label", "reason": "no value in label, rating"},
        {"name": "labels_are_balanced", "reason": "no value in label"},
    ]
    assert len(report["skipped"]) + len(report["expectations"]) == len(BAD_ROWS) + len(BAD_BATCHES)


def test_check_lets_unlabelled_reviews_stand_among_labelled_ones(
    batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    batch.loc[[3, 12], ["label", "rating"]] = None
    report = check_batch(batch, bounds).report
    assert find_broken(report) == set()
    assert report["skipped"] == []


def test_check_rejects_a_rating_without_a_label(batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    batch.loc[ROW, "label"] = None
    assert check_batch(batch, bounds).rejected["reason"].tolist() == ["rating_disagrees_with_label"]


def test_check_allows_a_label_without_a_rating(batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    batch.loc[ROW, "rating"] = None
    assert check_batch(batch, bounds).rejected.empty


@pytest.mark.parametrize("label_and_rating", [("neg", 4), ("pos", 7), ("pos", 10), ("neg", 1)])
def test_check_allows_the_outermost_ratings(
    label_and_rating: tuple[str, int], batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    batch.loc[ROW, ["label", "rating"]] = label_and_rating
    assert check_batch(batch, bounds).rejected.empty


@pytest.mark.parametrize("label_and_rating", [("neg", 0), ("neg", 5), ("pos", 6), ("pos", 11)])
def test_check_rejects_the_ratings_next_to_the_outermost(
    label_and_rating: tuple[str, int], batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    batch.loc[ROW, ["label", "rating"]] = label_and_rating
    assert check_batch(batch, bounds).rejected["reason"].tolist() == ["rating_disagrees_with_label"]


@pytest.mark.parametrize(("num_rejected", "is_accepted"), [(0, True), (2, True), (3, False)])
def test_max_rejected_share_is_the_last_share_accepted(
    num_rejected: int, is_accepted: bool, batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    batch.loc[list(range(num_rejected)), "split"] = "dev"
    report = check_batch(batch, bounds.model_copy(update={"max_rejected_share": 0.1})).report
    assert report["accepted"] is is_accepted
    assert report["reviews"]["rejected"] == num_rejected


def test_max_rejected_share_has_no_rounding_error(
    make_batch: Callable[[int], pd.DataFrame], bounds: ValidationParameters
) -> None:
    """29 of 50 are rejected, exactly 0.58; and 1 - 0.58 is 0.42000000000000004 in floating point, above 21 of 50."""
    batch = make_batch(50)
    batch.loc[:28, "split"] = "dev"
    parameters = bounds.model_copy(update={"max_rejected_share": 0.58})
    assert check_batch(batch, parameters).report["accepted"]


def test_line_break_and_lone_brackets_are_no_leftover_markup(
    batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    batch.loc[0, "text"] = "I <3 it.<br /><br />5 < 6, and <-----a gap-----> too."
    batch.loc[1, "text"] = "A line<br>break in other clothes."
    (markup,) = (
        one for one in check_batch(batch, bounds).report["expectations"] if one["name"] == "markup_is_rare"
    )
    assert [example["review_id"] for example in markup["examples"]] == ["train/neg/001"]


def test_list_skipped_names_nothing_where_every_column_has_values(
    batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    assert list_skipped(bounds, find_present_columns(batch)) == []


def test_check_refuses_a_table_without_a_required_column(
    batch: pd.DataFrame, bounds: ValidationParameters
) -> None:
    check = check_batch(batch.drop(columns="text"), bounds)
    assert check.report["refused_by"] == ["columns_are_complete"]
    assert {"name": "text_is_there", "reason": "no value in text"} in check.report["skipped"]


def test_check_refuses_an_empty_table(batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    check = check_batch(batch.head(0), bounds)
    assert "reviews_are_enough" in check.report["refused_by"]
    assert check.report["reviews"]["read"] == 0


def test_check_leaves_its_input_unchanged(batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    batch.loc[ROW, "text"] = batch.loc[ROW + 1, "text"]
    before = batch.copy()
    check_batch(batch, bounds)
    pd.testing.assert_frame_equal(batch, before)
