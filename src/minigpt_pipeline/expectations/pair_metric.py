"""A metric of Great Expectations by whole columns."""

from collections.abc import Iterable
from functools import cache

import pandas as pd


def find_pairs_in_set(
    first: pd.Series, second: pd.Series, pairs: Iterable[tuple[object, object]]
) -> pd.Series:
    """Find the rows whose two values are one of some pairs; None in a pair stands for a missing value.

    Returns:
        bool, (num_rows,).
    """
    is_in_set = pd.Series(False, index=first.index)
    for values in pairs:
        is_first, is_second = (
            column.isna() if value is None else (column == value).fillna(False).astype(bool)
            for column, value in zip((first, second), values, strict=True)
        )
        is_in_set |= is_first & is_second
    return is_in_set


@cache
def register_pair_metric() -> None:
    """Let `ExpectColumnPairValuesToBeInSet` compare columns.

    The metric of Great Expectations builds a pandas Series for each row, which takes longer than all other rules
    together. Defining a metric of the same name replaces it, in this process.
    """
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.metrics import ColumnPairValuesInSet
    from great_expectations.expectations.metrics.map_metric_provider import column_pair_condition_partial

    class ColumnPairValuesInSetByColumns(ColumnPairValuesInSet):
        @column_pair_condition_partial(engine=PandasExecutionEngine)
        def _pandas(
            cls,  # noqa: N805 - so Great Expectations calls it
            first: pd.Series,
            second: pd.Series,
            value_pairs_set: Iterable[tuple[object, object]],
            **_: object,
        ) -> pd.Series:
            return find_pairs_in_set(first, second, value_pairs_set)
