from pathlib import Path

import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import JsonDataset
from minigpt_pipeline.tracking.lineage import (
    Lineage,
    lineage_path,
    new_cycle,
    read_known_lineage,
    read_lineage,
    write_lineage,
)


def test_lineage_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    path.touch()
    lineage = Lineage("20261123T201500Z-1f3a", "run", {"model.embed_dim": "256"}, "0123", {"node": "train"})

    write_lineage(path, lineage)

    assert read_lineage(path) == lineage


def test_a_lineage_of_an_older_version_has_no_key(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    path.touch()
    JsonDataset(filepath=str(lineage_path(path))).save({"cycle": "c", "run_id": None, "parameters": {}})

    assert read_lineage(path) == Lineage("c")


@pytest.mark.parametrize("content", ['{"minigpt_format_version": 1, "cycle": "c", "run_id": null}', "{"])
def test_lineage_that_can_t_be_read_stops_who_reads_the_file_and_nobody_who_makes_it_again(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "reviews.parquet"
    path.touch()
    lineage_path(path).write_text(content)

    with pytest.raises(DatasetError, match=r"reviews.parquet.lineage.json"):
        read_lineage(path)
    assert read_known_lineage(path) is None


def test_a_file_without_lineage_has_none(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    path.touch()

    assert read_lineage(path) is None


def test_lineage_without_its_file_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"

    write_lineage(path, Lineage("cycle"))

    assert read_lineage(path) is None


def test_new_cycles_differ() -> None:
    assert len({new_cycle() for _ in range(20)}) == 20
