"""The gate in front of `reviews`: what everything downstream relies on, checked at each save."""

import pandas as pd

from minigpt_pipeline.expectations.excerpts import cut
from minigpt_pipeline.expectations.raw_reviews import OPTIONAL_COLUMNS
from minigpt_pipeline.text.imdb import REVIEW_COLUMNS

_TYPES = dict.fromkeys(REVIEW_COLUMNS, "str") | {"rating": "Int8"}
_MAX_EXAMPLES = 5


class CleanReviewsValidator:
    """A Kedro validator (`validator:` in the catalog), in pandas alone and so in a fraction of a second.

    The expectations of the `validation` pipeline judge what comes in; this makes sure that what goes out is what
    they promise, also when somebody saves `reviews` from elsewhere.
    """

    def validate(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the reviews unchanged.

        Args:
            data: The columns of `raw_reviews`.

        Raises:
            ValueError: If there is no row; a column is missing, additional, out of order or of another type; a
                review has no id, split or text; ids or texts are not unique; or the rows are not sorted by review_id.
        """
        _check_columns(data)
        if data.empty:
            raise ValueError(
                "reviews has no row: expected at least one; rejected_reviews has those that were refused"
            )
        for column in (name for name in REVIEW_COLUMNS if name not in OPTIONAL_COLUMNS):
            _check_rows(data, data[column].isna(), f"have no {column}")
        for column in ("review_id", "text"):
            _check_rows(data, data[column].duplicated(), f"repeat the {column} of an earlier row")
        out_of_order = data["review_id"] < data["review_id"].shift()
        _check_rows(data, out_of_order, "come before the review above them: expected the order of review_id")
        return data


def _check_columns(reviews: pd.DataFrame) -> None:
    if list(reviews.columns) != list(REVIEW_COLUMNS):
        raise ValueError(
            f"reviews has the columns {list(reviews.columns)}: expected {list(REVIEW_COLUMNS)}, in this order"
        )
    for column, expected in _TYPES.items():
        # A column without a value has no type that matters: plain text has no labels.
        is_absent = column in OPTIONAL_COLUMNS and reviews[column].isna().all()
        if not is_absent and str(reviews[column].dtype) != expected:
            raise ValueError(
                f"{column} of reviews is of type {reviews[column].dtype}: expected {expected}, "
                "as read_reviews makes it"
            )


def _check_rows(reviews: pd.DataFrame, is_wrong: pd.Series, problem: str) -> None:
    wrong = reviews.loc[is_wrong, "review_id"]
    if not wrong.empty:
        examples = ", ".join(cut(str(review_id)) for review_id in wrong.head(_MAX_EXAMPLES))
        raise ValueError(
            f"{len(wrong):,} of {len(reviews):,} reviews {problem} (first: {examples}): "
            "save what the validation pipeline accepted"
        )
