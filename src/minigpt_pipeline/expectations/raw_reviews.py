"""The expectations on `raw_reviews`, in two suites.

A *row rule* (severity warning) names the reason under which the rows that break it are rejected: it costs rows. A
*batch rule* costs the batch if it is critical, and nothing but a warning otherwise. How many rows the row rules may
cost is a batch rule itself, in the second suite, which looks at the verdicts of the first.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

import pandas as pd

from minigpt_pipeline.parameters import ValidationParameters
from minigpt_pipeline.text.imdb import LABELS, REVIEW_COLUMNS, SPLITS

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations import Expectation

    from minigpt_pipeline.expectations.outcome import Severity

OPTIONAL_COLUMNS = ("label", "rating", "movie_id")
"""Plain text has none of them; expectations on a column without a single value are left out."""

VERDICT_COLUMNS = ("rejection_reason", "is_positive")
"""What the second suite looks at: why a row is rejected (null if kept), and whether its label is `pos` (0 or 1)."""

_TYPES = dict.fromkeys(REVIEW_COLUMNS, "str") | {"rating": "Int8"}

# "A negative review has a score <= 4 out of 10, and a positive review has a score >= 7" (the dataset's README).
_LABELLED_RATINGS = [
    *(("neg", rating) for rating in (*range(1, 5), None)),  # a table may have labels alone
    *(("pos", rating) for rating in (*range(7, 11), None)),
]

_BLANK = r"^\s*$"
_NON_ASCII = r"[^\x00-\x7F]"
# Any tag but the line break, which vectorization turns into a space. "<3" and "<-----" are not tags.
MARKUP = r"<(?!br />)/?[A-Za-z][^<>]*>"


def find_present_columns(reviews: pd.DataFrame) -> frozenset[str]:
    """Return the columns that there is something to expect of.

    An optional column without a single value counts as absent; a required one does not, so that it is refused.
    """
    return frozenset(
        column
        for column in reviews.columns
        if column not in OPTIONAL_COLUMNS or bool(reviews[column].notna().any())
    )


def build_raw_reviews_suite(parameters: ValidationParameters, present: Set[str]) -> ExpectationSuite:
    """Build the rules on the rows and on the shape of `raw_reviews`.

    Args:
        parameters: The bounds.
        present: Columns with values; rules that need another one are left out.

    Returns:
        The suite; each expectation's `meta` has its `name`, and `rejects_as` where it is a row rule.
    """
    from great_expectations import ExpectationSuite

    rules = [*_shape_rules(parameters), *_row_rules(parameters), *_share_rules(parameters)]
    return ExpectationSuite(
        name="raw_reviews", expectations=[rule for rule in rules if find_needs(rule) <= present]
    )


def build_verdicts_suite(parameters: ValidationParameters, present: Set[str]) -> ExpectationSuite:
    """Build the rules on the batch as a whole, once each row has its verdict.

    Args:
        parameters: The bounds.
        present: Columns of `raw_reviews` with values; rules that need another one are left out.

    Returns:
        The suite for a table with `VERDICT_COLUMNS`.
    """
    from great_expectations import ExpectationSuite

    rules = _verdict_rules(parameters)
    return ExpectationSuite(
        name="verdicts", expectations=[rule for rule in rules if find_needs(rule) <= present]
    )


def list_skipped(parameters: ValidationParameters, present: Set[str]) -> list[dict[str, str]]:
    """Return the name of each expectation that is left out, and why."""
    rules = [
        *_shape_rules(parameters),
        *_row_rules(parameters),
        *_share_rules(parameters),
        *_verdict_rules(parameters),
    ]
    missing = {rule.meta["name"]: sorted(find_needs(rule) - present) for rule in rules}
    return [
        {"name": name, "reason": f"no value in {', '.join(columns)}"}
        for name, columns in missing.items()
        if columns
    ]


def find_needs(expectation: Expectation) -> set[str]:
    """Return the columns of `raw_reviews` that an expectation needs; none for one about the whole table."""
    if "needs" in expectation.meta:
        return set(expectation.meta["needs"])
    names = (getattr(expectation, field, None) for field in ("column", "column_A", "column_B"))
    return {name for name in names if name is not None}


def _shape_rules(parameters: ValidationParameters) -> list[Expectation]:
    """Critical: without these the other rules mean nothing."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableColumnsToMatchOrderedList(
            column_list=list(REVIEW_COLUMNS),
            **make_rule(
                "columns_are_complete",
                "critical",
                f"The columns are {', '.join(REVIEW_COLUMNS)}, in this order.",
            ),
        ),
        *(
            gxe.ExpectColumnValuesToBeOfType(
                column=column,
                # Great Expectations compares scalar types: int8 is that of Int8.
                type_=type_name.lower(),
                **make_rule(f"{column}_has_its_type", "critical", f"{column} is of type {type_name}."),
            )
            for column, type_name in _TYPES.items()
        ),
        gxe.ExpectTableRowCountToBeBetween(
            min_value=parameters.min_reviews,
            **make_rule(
                "reviews_are_enough", "critical", f"There are at least {parameters.min_reviews:,} reviews."
            ),
        ),
    ]


def _row_rules(parameters: ValidationParameters) -> list[Expectation]:
    """The rules that each row must keep. One that breaks several is rejected with the reason of the first."""
    import great_expectations.expectations as gxe

    low, high = parameters.min_text_length, parameters.max_text_length
    return [
        gxe.ExpectColumnValuesToNotBeNull(
            column="review_id", **make_row_rule("review_id_is_there", "missing_id", "Each review has an id.")
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column="review_id",
            **make_row_rule(
                "review_id_is_unique", "duplicate_id", "No two reviews have the same id; the first is kept."
            ),
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="text", **make_row_rule("text_is_there", "missing_text", "Each review has a text.")
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="text",
            regex=_BLANK,
            **make_row_rule("text_is_not_blank", "blank_text", "No text is white space only."),
        ),
        gxe.ExpectColumnValueLengthsToBeBetween(
            column="text",
            min_value=low,
            **make_row_rule(
                "text_is_long_enough", "too_short", f"Each text has at least {low:,} characters."
            ),
        ),
        gxe.ExpectColumnValueLengthsToBeBetween(
            column="text",
            max_value=high,
            **make_row_rule(
                "text_is_short_enough", "too_long", f"Each text has at most {high:,} characters."
            ),
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="split", **make_row_rule("split_is_there", "missing_split", "Each review has a split.")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="split",
            value_set=list(SPLITS),
            **make_row_rule("split_is_known", "unknown_split", f"Each split is one of {', '.join(SPLITS)}."),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="label",
            value_set=list(LABELS),
            **make_row_rule(
                "label_is_known", "unknown_label", f"Each label is one of {', '.join(LABELS)}, or absent."
            ),
        ),
        gxe.ExpectColumnPairValuesToBeInSet(
            column_A="label",
            column_B="rating",
            value_pairs_set=_LABELLED_RATINGS,
            ignore_row_if="both_values_are_missing",
            **make_row_rule(
                "rating_agrees_with_label",
                "rating_disagrees_with_label",
                "pos goes with a rating of 7 to 10 or none, neg with 1 to 4 or none, and no label with none.",
            ),
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column="text",
            **make_row_rule(
                "text_is_unique",
                "duplicate",
                "No two reviews have the same text; the first by review_id is kept.",
            ),
        ),
    ]


def _share_rules(parameters: ValidationParameters) -> list[Expectation]:
    """Bounds on what may be wrong, or odd, with a part of the texts."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column="text",
            min_value=rest_of(parameters.max_duplicate_share),
            **make_rule(
                "duplicates_are_few",
                "critical",
                f"At least {rest_of(parameters.max_duplicate_share):.2%} of the texts are no copy of an earlier one.",
            ),
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="text",
            regex=_NON_ASCII,
            mostly=rest_of(parameters.max_non_ascii_share),
            **make_rule(
                "non_ascii_is_rare",
                "warning",
                f"At most {parameters.max_non_ascii_share:.2%} of the texts have a character outside ASCII.",
            ),
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="text",
            regex=MARKUP,
            mostly=rest_of(parameters.max_markup_share),
            **make_rule(
                "markup_is_rare",
                "warning",
                f"At most {parameters.max_markup_share:.2%} of the texts have a tag other than the line break.",
            ),
        ),
    ]


def _verdict_rules(parameters: ValidationParameters) -> list[Expectation]:
    """Critical bounds on the batch as a whole."""
    import great_expectations.expectations as gxe

    low, high = parameters.min_positive_share, parameters.max_positive_share
    return [
        gxe.ExpectColumnValuesToBeNull(
            column="rejection_reason",
            mostly=rest_of(parameters.max_rejected_share),
            **make_rule(
                "rejected_rows_are_few",
                "critical",
                f"At most {parameters.max_rejected_share:.2%} of the reviews are rejected.",
                needs=[],
            ),
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="is_positive",
            min_value=low,
            max_value=high,
            **make_rule(
                "labels_are_balanced",
                "critical",
                f"Between {low:.0%} and {high:.0%} of the labelled reviews are positive.",
                needs=["label"],
            ),
        ),
    ]


def make_rule(name: str, severity: Severity, description: str, **more: object) -> dict[str, object]:
    """Return the arguments that each expectation has."""
    return {"severity": severity, "description": description, "meta": {"name": name, **more}}


def make_row_rule(name: str, rejects_as: str, description: str) -> dict[str, object]:
    """Return those of one that rejects rows."""
    return make_rule(name, "warning", description, rejects_as=rejects_as)


def rest_of(share: float) -> float:
    """Return 1 - share without its rounding error: 1 - 0.58 is above 0.42, and would refuse a batch at its bound."""
    return round(1.0 - share, 12)
