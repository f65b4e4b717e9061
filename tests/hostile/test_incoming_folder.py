"""What is no file and no folder, or has a strange name or place, lies in the folder of new data and does no harm."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt_pipeline.datasets.documents_dataset import DocumentsDataset
from minigpt_pipeline.datasets.incoming_batches_dataset import IncomingBatchesDataset
from minigpt_pipeline.expectations.incoming_batch import judge_batch
from minigpt_pipeline.expectations.incoming_page import render_incoming
from minigpt_pipeline.files import MAX_DEPTH, list_files
from minigpt_pipeline.text.incoming_batch import IncomingBatch
from minigpt_pipeline.text.known_texts import KnownTexts

pytestmark = pytest.mark.timeout(120)  # a pipe that is opened is waited for until somebody writes


def load(folder: Path, **limits: float) -> list[IncomingBatch]:
    return IncomingBatchesDataset(path=str(folder), settle_seconds=0, **limits).load()  # type: ignore[arg-type]


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder with a batch, and all else that a name can stand for, beside it and in it."""
    (tmp_path / "batch").mkdir()
    for folder in (tmp_path, tmp_path / "batch"):
        os.mkfifo(folder / "pipe.txt")
        (folder / "zero.txt").symlink_to("/dev/zero")
        (folder / "outside.txt").symlink_to("/etc/passwd")
        (folder / "round.txt").symlink_to(folder)
        (folder / "nowhere.txt").symlink_to("nothing")
        with socket.socket(socket.AF_UNIX) as one:
            here = Path.cwd()
            os.chdir(folder)  # the name of a socket is short
            try:
                one.bind("socket.txt")
            finally:
                os.chdir(here)
    (tmp_path / "batch/a.txt").write_text("A film.")
    return tmp_path


def test_pipes_links_and_sockets_are_passed_over(strange: Path) -> None:
    (batch,) = load(strange)

    assert [(member.name, member.content) for member in batch.open(1000)] == [("batch/a.txt", b"A film.")]
    assert [member.name for member in DocumentsDataset(path=str(strange)).load()] == ["batch/a.txt"]


def make_deep(folder: Path, depth: int) -> None:
    """Make folders in folders, deeper than a path can say."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.txt", os.O_CREAT, dir_fd=here))
    os.close(here)


def remove_deep(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, pytest.param(10_000, marks=pytest.mark.full)])
def test_folders_that_lie_too_deep_stay_where_they_are(
    depth: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "deep").mkdir()
    make_deep(tmp_path / "deep", depth)
    try:
        assert load(tmp_path) == []
        assert (
            f"deep stays where it is: its folders lie more than {MAX_DEPTH} deep in each other" in caplog.text
        )
    finally:
        remove_deep(tmp_path / "deep")


def test_what_is_too_large_or_too_many_stays_where_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(10**13)  # of which nothing lies on the disk
    (tmp_path / "many").mkdir()
    for number in range(30):
        (tmp_path / f"many/{number}.txt").touch()

    assert load(tmp_path, max_files=20, max_megabytes=100) == []
    assert "large.csv stays where it is: it has 10,000,000 MB, and 100 MB is the most" in caplog.text
    assert "many stays where it is: it has more than 20 files" in caplog.text


@pytest.mark.parametrize(
    "name",
    [b"a\x1b[31m\n\x07.txt", b"caf\xe9.txt", "\u202e\u0301<script>.txt".encode(), b"\xff" * 200 + b".txt"],
    ids=["terminal", "not UTF-8", "right to left", "long"],
)
def test_a_strange_name_is_shown_in_characters_that_do_nothing(
    name: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture, judge: Callable[[IncomingBatch], dict]
) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(b"\xff is no UTF-8")

    (batch,) = load(tmp_path)
    report = judge(batch)

    page = render_incoming([report])
    assert (report["name"] + report["reasons"][0]).isprintable()
    assert not set("\x1b\x07\u202e") & set(page)
    assert "<script>.txt" not in page
    assert caplog.text.replace("\n", "").isprintable()


@pytest.fixture
def judge() -> Callable[[IncomingBatch], dict]:
    from kedro.config import OmegaConfigLoader

    from minigpt_pipeline.parameters import IncomingParameters, IngestionParameters, ValidationParameters
    from minigpt_pipeline.settings import CONFIG_LOADER_ARGS
    from tests.conftest import PROJECT

    values = OmegaConfigLoader(
        str(PROJECT / "conf"), env="base", **CONFIG_LOADER_ARGS | {"default_run_env": "base"}
    )
    parameters = values["parameters"]

    def judge_one(batch: IncomingBatch) -> dict:
        return judge_batch(
            batch,
            KnownTexts(),
            IncomingParameters(**parameters["incoming"]),
            ValidationParameters(**parameters["validation"]),
            IngestionParameters(**parameters["ingestion"]),
        ).report

    return judge_one


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_folder_of_a_million_files_is_left_after_some(
    tmp_path: Path, run_apart: Callable[..., dict]
) -> None:
    folder = tmp_path / "incoming/many"
    folder.mkdir(parents=True)
    for number in range(1_000_000):
        os.close(os.open(folder / f"{number}.txt", os.O_CREAT))

    found = run_apart(
        """
        import sys
        from minigpt_pipeline.datasets.incoming_batches_dataset import IncomingBatchesDataset
        before, started = peak(), time.monotonic()
        batches = IncomingBatchesDataset(path=sys.argv[1], settle_seconds=0, max_files=200_000).load()
        report(batches=len(batches), megabytes=peak() - before, seconds=time.monotonic() - started)
        """,
        str(tmp_path / "incoming"),
    )

    assert found["batches"] == 0
    assert found["megabytes"] < 300
    assert found["seconds"] < 60


def test_list_files_is_in_order_and_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", ".hidden", "a/c.txt", "a/.d/e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert list_files(tmp_path) == [tmp_path / "a/c.txt", tmp_path / "b.txt"]
    assert list_files(tmp_path / "b.txt") == [tmp_path / "b.txt"]
