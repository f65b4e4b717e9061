"""What a dataset saves comes back the same, whole, and with its format version."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from kedro.io import DatasetError
from matplotlib.figure import Figure

from minigpt_pipeline.datasets import (
    ArrowTableDataset,
    FigureDataset,
    JsonDataset,
    PageDataset,
    PagesDataset,
    TableDataset,
    TokenizerDataset,
)
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

TOKEN_IDS = pa.table({"token_ids": pa.array([[2, 3], []], pa.list_(pa.int32()))})
CASES = [
    (ArrowTableDataset, TOKEN_IDS),
    (JsonDataset, {"test/loss": 4.5, "note": "«é»"}),
    (PageDataset, "<p>«é»</p>\r\n"),
    (PagesDataset, {"index.html": b"<p>", "static/style.css": b"p {}"}),
    (TokenizerDataset, WordTokenizer(Vocabulary(("", "[UNK]", "film")), ("Élan",))),
]


@pytest.mark.parametrize(("dataset_class", "content"), CASES)
def test_save_then_load_gives_the_same(tmp_path: Path, dataset_class: type, content: object) -> None:
    dataset = dataset_class(filepath=str(tmp_path / "deep" / "content"))

    dataset.save(content)

    assert dataset.load() == content


def test_table_keeps_its_column_types(tmp_path: Path, reviews: pd.DataFrame) -> None:
    dataset = TableDataset(filepath=str(tmp_path / "reviews.parquet"))

    dataset.save(reviews)

    pd.testing.assert_frame_equal(dataset.load(), reviews)


@pytest.mark.parametrize(("dataset_class", "content"), CASES)
def test_saving_twice_gives_the_same_bytes(tmp_path: Path, dataset_class: type, content: object) -> None:
    for name in ("first", "second"):
        dataset_class(filepath=str(tmp_path / name / "content")).save(content)

    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("first", "second")
    ]
    assert files[0] == files[1]


def test_figures_of_equal_content_are_equal_files(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        figure = Figure()
        figure.subplots().plot([1, 2], [3, 4])
        FigureDataset(filepath=str(tmp_path / name)).save(figure)

    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


@pytest.mark.parametrize("old", [{"index.html": b"old"}, None])
def test_a_failed_save_leaves_what_was_there(tmp_path: Path, old: dict[str, bytes] | None) -> None:
    dataset = PagesDataset(filepath=str(tmp_path / "pages"))
    if old:
        dataset.save(old)

    with pytest.raises(DatasetError, match="bytes-like"):
        dataset.save({"index.html": b"new", "broken.html": None})  # type: ignore[dict-item]

    assert dataset.exists() == bool(old)
    assert not old or dataset.load() == old
    assert [path.name for path in tmp_path.iterdir()] == (["pages"] if old else [])


def test_pages_replace_what_was_there(tmp_path: Path) -> None:
    dataset = PagesDataset(filepath=str(tmp_path / "pages"))

    dataset.save({"old.html": b""})
    dataset.save({"new.html": b""})

    assert list(dataset.load()) == ["new.html"]


def test_load_says_what_to_run_where_nothing_was_saved(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"There is no .*reviews.parquet: run the pipeline that makes it first"
    ):
        TableDataset(filepath=str(tmp_path / "reviews.parquet")).load()


@pytest.mark.parametrize("foreign", ['{"minigpt_format_version": 99}', "{}"])
def test_load_refuses_another_format_version(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(foreign)

    with pytest.raises(
        DatasetError, match=r"has format version (99|None), this version of the project reads 4"
    ):
        JsonDataset(filepath=str(path)).load()


def test_load_refuses_a_parquet_file_of_others(tmp_path: Path, reviews: pd.DataFrame) -> None:
    path = tmp_path / "reviews.parquet"
    reviews.to_parquet(path)

    with pytest.raises(DatasetError, match="has format version None"):
        TableDataset(filepath=str(path)).load()


def test_load_refuses_what_is_not_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("{")

    with pytest.raises(DatasetError, match="is not JSON"):
        JsonDataset(filepath=str(path)).load()
