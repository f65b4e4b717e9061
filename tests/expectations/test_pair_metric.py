import pandas as pd
import pytest

from minigpt_pipeline.expectations.pair_metric import find_pairs_in_set, register_pair_metric

PAIRS = [("neg", 1), ("pos", 9), ("pos", 10), (None, 5)]


@pytest.fixture
def rows() -> pd.DataFrame:
    """Every label beside every rating, with rows missing so that the index has gaps."""
    labels, ratings = ["neg", "pos", "other", None], [1, 5, 9, 10, None]
    table = pd.DataFrame(
        [(label, rating) for label in labels for rating in ratings], columns=["label", "rating"]
    )
    return table.astype({"label": "str", "rating": "Int8"}).drop(index=[3, 17])


def test_find_pairs_in_set_finds_pairs(rows: pd.DataFrame) -> None:
    found = rows[find_pairs_in_set(rows["label"], rows["rating"], PAIRS)]

    assert found.astype(object).where(found.notna(), None).to_numpy().tolist() == [
        ["neg", 1],
        ["pos", 9],
        ["pos", 10],
        [None, 5],
    ]


@pytest.mark.parametrize("rating", ["Int8", "float64", "str", "object"])
def test_find_pairs_in_set_agrees_with_great_expectations(rows: pd.DataFrame, rating: str) -> None:
    from great_expectations.expectations.metrics import ColumnPairValuesInSet

    by_rows = ColumnPairValuesInSet._pandas.__wrapped__.__wrapped__
    ratings = rows["rating"].astype(object).where(rows["rating"].notna(), None).astype(rating)

    there = by_rows(ColumnPairValuesInSet, rows["label"], ratings, value_pairs_set=PAIRS)

    pd.testing.assert_series_equal(find_pairs_in_set(rows["label"], ratings, PAIRS), there)
    assert there.any() == (rating != "str")


def test_great_expectations_uses_it() -> None:
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.registry import get_metric_provider

    register_pair_metric()

    metric_class, _ = get_metric_provider("column_pair_values.in_set.condition", PandasExecutionEngine())
    assert metric_class.__name__ == "ColumnPairValuesInSetByColumns"
