"""Each file that an earlier version has written is read, or refused with what to do."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError
from packaging.version import Version

from minigpt_pipeline import __version__
from minigpt_pipeline.datasets.json_dataset import JsonDataset
from minigpt_pipeline.datasets.new_reviews_dataset import NewReviewsDataset
from minigpt_pipeline.datasets.ngram_model_dataset import NgramModelDataset
from minigpt_pipeline.datasets.served_texts_dataset import ServedTextsDataset
from minigpt_pipeline.datasets.table_dataset import TableDataset
from minigpt_pipeline.datasets.tokenizer_dataset import TokenizerDataset
from minigpt_pipeline.model.checkpoint import UnusableCheckpointError, read_checkpoint
from minigpt_pipeline.model.saved_model import load_trained_model
from minigpt_pipeline.search.study_store import StudyError, StudyStore
from minigpt_pipeline.tracking.lineage import read_known_lineage, read_lineage
from tests.upgrades.conftest import VERSIONS
from tests.upgrades.make_fixture import PROJECT, WRITTEN, read_commits, refuse_places

DATA = "data/test"
READERS: dict[str, Callable[[Path], object]] = {
    "0[2-7]_*/*.parquet": lambda path: TableDataset(filepath=str(path)).load(),
    "0[2-8]_*/*.lineage.json": lambda path: read_lineage(
        path.with_name(path.name.removesuffix(".lineage.json"))
    ),
    "04_feature/tokenizer.json": lambda path: TokenizerDataset(filepath=str(path)).load(),
    "06_models/ngram_model.npz": lambda path: NgramModelDataset(filepath=str(path)).load(),
    "06_models/trained_model.keras": load_trained_model,
    "08_reporting/[!.]*[!e].json": lambda path: JsonDataset(filepath=str(path)).load(),
}


def of_versions(first: str = "0.1.0") -> Any:
    return pytest.mark.parametrize(
        "version", [version for version in VERSIONS if Version(version) >= Version(first)]
    )


@of_versions()
@pytest.mark.parametrize("files", READERS)
def test_what_a_version_has_written_is_read_or_refused_with_what_to_do(
    version: str, files: str, unpacked: Callable[[str], Path]
) -> None:
    found = [path for path in sorted((unpacked(version) / DATA).glob(files)) if is_of_dataset(path)]
    assert found or not is_read(version)
    for path in found:
        if is_read(version):
            assert READERS[files](path) is not None, path
        else:
            with pytest.raises(
                (DatasetError, ValueError), match=r"format version [123].*(`kedro run`|train again)"
            ):
                READERS[files](path)


def is_read(version: str) -> bool:
    """Whether data, models and reports of a version are read."""
    return Version(version) >= Version("0.3.0")


def is_of_dataset(path: Path) -> bool:
    """Whether a dataset has written a file, and not what is written beside datasets."""
    is_lineage = path.name.endswith(".lineage.json")
    # Folders and pictures are not in the fixtures, their lineage is.
    return not is_lineage or path.with_name(path.name.removesuffix(".lineage.json")).exists()


@of_versions()
def test_old_lineage_stops_nobody_who_makes_the_file_again(
    version: str, unpacked: Callable[[str], Path]
) -> None:
    known = read_known_lineage(unpacked(version) / DATA / "06_models/trained_model.keras")
    assert (known is not None) == is_read(version)


@of_versions("0.2.0")
def test_a_checkpoint_of_another_version_belongs_to_another_training(
    version: str, unpacked: Callable[[str], Path]
) -> None:
    checkpoint = next((unpacked(version) / DATA / "06_models/checkpoints").glob("*.checkpoint"))
    with pytest.raises(UnusableCheckpointError, match=r"it belongs to a training with other .*code"):
        read_checkpoint(checkpoint, {"code": "of today"})


@of_versions("0.3.0")
def test_trials_of_another_search_are_refused_and_stay(version: str, unpacked: Callable[[str], Path]) -> None:
    path = unpacked(version) / DATA / "07_model_output/sweep.db"
    with (
        pytest.raises(
            StudyError, match=r"made with other .*: go back to what it was .*, or move the file away"
        ),
        StudyStore(path).open({"parameters": "others"}),
    ):
        pass
    with sqlite3.connect(path) as store:
        assert store.execute("SELECT count(*) FROM trials").fetchone()[0] >= 3


@of_versions("0.5.0")
def test_accepted_batches_are_read(version: str, unpacked: Callable[[str], Path]) -> None:
    assert len(NewReviewsDataset(path=str(unpacked(version) / DATA / "01_raw")).load()) > 0


@of_versions("0.6.0")
def test_lines_of_what_was_served_are_read(version: str, unpacked: Callable[[str], Path]) -> None:
    days = ServedTextsDataset(path=str(unpacked(version) / "data/01_raw/served"), data=DATA).load()
    assert days is not None


def test_every_released_version_has_its_commit_and_its_fixture() -> None:
    """The newest may wait until something is changed after it: its own commit can't name itself."""
    commits = read_commits()
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    is_changed = not re.search(r"^## \[Unreleased\]\n\n## ", changelog, re.MULTILINE)
    assert next(iter(commits)) == __version__
    released = list(commits)[0 if is_changed else 1 :]
    assert {version: bool(commits[version]) for version in released} == dict.fromkeys(released, True)
    advice = "python -m tests.upgrades.make_fixture VERSION"
    assert set(released) <= set(VERSIONS), advice


def test_fixtures_are_small_and_name_no_place_of_a_machine() -> None:
    for path in WRITTEN.iterdir():
        assert path.stat().st_size < 500_000
        refuse_places(path)
