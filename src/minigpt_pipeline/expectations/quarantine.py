"""Which rows are rejected, and with which reason."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from minigpt_pipeline.expectations.outcome import Outcome


def judge_rows(reviews: pd.DataFrame, outcomes: Sequence[Outcome]) -> pd.Series:
    """Give each row the reason of the first rule that it breaks.

    Of the rows that break a rule about uniqueness the first is spared: the first by review_id that no earlier rule
    rejected, so that of every text one copy is kept.

    Args:
        reviews: With the default index.
        outcomes: In the order in which their reasons take precedence; those without `rejects_as` are passed over.

    Returns:
        str, one value a row: the reason, or null if the row is kept.
    """
    reasons = np.full(len(reviews), None, dtype=object)
    for outcome in outcomes:
        if outcome.rejects_as is None:
            continue
        rows = np.asarray(outcome.failing_rows, dtype=np.int64)
        rows = rows[pd.isna(reasons[rows])]
        if outcome.expectation == "expect_column_values_to_be_unique":
            rows = _later_copies(reviews, rows, outcome.columns[0])
        reasons[rows] = outcome.rejects_as
    return pd.Series(reasons, index=reviews.index, dtype="str")


def split_reviews(reviews: pd.DataFrame, reasons: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the reviews that are kept, and the rejected ones with their `reason`, both sorted by review_id."""
    kept = reviews[reasons.isna()]
    rejected = reviews.assign(reason=reasons)[reasons.notna()]
    if "review_id" not in reviews:  # a broken table, which is refused: there is nothing to sort by
        return kept.reset_index(drop=True), rejected.reset_index(drop=True)
    kept, rejected = (
        part.sort_values("review_id", kind="stable", ignore_index=True) for part in (kept, rejected)
    )
    return kept, rejected


def _later_copies(reviews: pd.DataFrame, rows: np.ndarray, column: str) -> np.ndarray:
    """Return the positions, int64, of all but the first row by review_id of each value of a column."""
    candidates = reviews.iloc[rows]
    if "review_id" in candidates:
        candidates = candidates.sort_values("review_id", kind="stable")
    return candidates.index[candidates[column].duplicated()].to_numpy()
