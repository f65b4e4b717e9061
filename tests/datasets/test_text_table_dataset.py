"""Reviews that are written and read piece by piece are the same reviews, and never in memory twice."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import TableDataset, TextPiecesDataset, TextTableDataset, text_table_dataset
from minigpt_pipeline.text.imdb import PYTHON_STRING

TEXT_COLUMNS = ["review_id", "split", "label", "movie_id", "text"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.parquet"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let six reviews be several pieces."""
    monkeypatch.setattr(text_table_dataset, "ROWS_OF_A_GROUP", 4)
    monkeypatch.setattr(text_table_dataset, "ROWS_OF_A_PIECE", 3)


@pytest.fixture
def python_reviews(reviews: pd.DataFrame) -> pd.DataFrame:
    reviews.loc[[1, 4], ["label", "rating", "movie_id"]] = None
    return reviews.astype(dict.fromkeys(TEXT_COLUMNS, PYTHON_STRING))


def test_frame_comes_back_as_python_strings(
    path: Path, python_reviews: pd.DataFrame, small_pieces: None
) -> None:
    TextTableDataset(filepath=str(path)).save(python_reviews)

    pd.testing.assert_frame_equal(TextTableDataset(filepath=str(path)).load(), python_reviews)


@pytest.mark.usefixtures("small_pieces")
def test_file_is_the_one_that_a_table_makes(path: Path, python_reviews: pd.DataFrame) -> None:
    TextTableDataset(filepath=str(path)).save(python_reviews)
    other = path.with_name("table.parquet")
    TableDataset(filepath=str(other)).save(python_reviews.astype(dict.fromkeys(TEXT_COLUMNS, "str")))

    assert pq.read_table(path).equals(pq.read_table(other))
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(other))
    assert pq.ParquetFile(path).num_row_groups == 2


def test_frame_without_a_row_keeps_its_columns(path: Path, python_reviews: pd.DataFrame) -> None:
    empty = python_reviews.head(0).assign(reason=pd.Series([], dtype=PYTHON_STRING))
    TextTableDataset(filepath=str(path)).save(empty)

    pd.testing.assert_frame_equal(TextTableDataset(filepath=str(path)).load(), empty)


@pytest.mark.usefixtures("small_pieces")
def test_pieces_are_all_rows_in_their_order_each_time(path: Path, python_reviews: pd.DataFrame) -> None:
    dataset = TextPiecesDataset(filepath=str(path))
    dataset.save(python_reviews)

    pieces = dataset.load()

    for _ in range(2):
        assert [len(piece) for piece in pieces] == [3, 3]
        assert pieces.num_rows == 6
        assert pa.Table.from_batches(pieces)["review_id"].to_pylist() == python_reviews["review_id"].tolist()


@pytest.mark.parametrize("dataset_class", [TextTableDataset, TextPiecesDataset])
def test_preview_shows_the_first_rows(path: Path, python_reviews: pd.DataFrame, dataset_class: type) -> None:
    dataset = dataset_class(filepath=str(path))
    dataset.save(python_reviews)

    preview = json.loads(dataset.preview(nrows=2))

    assert preview["columns"] == list(python_reviews.columns)
    assert [row[0] for row in preview["data"]] == python_reviews["review_id"].tolist()[:2]


@pytest.mark.parametrize("dataset_class", [TextTableDataset, TextPiecesDataset])
def test_load_refuses_a_parquet_file_of_others(
    path: Path, reviews: pd.DataFrame, dataset_class: type
) -> None:
    reviews.to_parquet(path)

    with pytest.raises(DatasetError, match="has format version None"):
        dataset_class(filepath=str(path)).load()
