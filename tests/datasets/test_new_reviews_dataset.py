import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import IncomingBatchesDataset, NewReviewsDataset
from minigpt_pipeline.datasets.new_reviews_dataset import FORMAT_VERSION_KEY
from minigpt_pipeline.expectations.incoming_batch import recognize_batch
from minigpt_pipeline.text.imdb import REVIEW_COLUMNS, REVIEW_TYPES, tabulate_reviews
from minigpt_pipeline.text.incoming_batch import (
    BatchOutcome,
    CheckedBatch,
    IncomingBatch,
    find_batch_ids,
    name_review,
)

GOOD, BAD = "good", "bad"


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    for name, text in ((GOOD, "x"), (BAD, "y")):
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "deep/a.csv").write_text(f"text\n{text}\n")
        (folder / name / ".note").write_text("hidden")
    (folder / "one.csv").write_text("text\nz\n")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> NewReviewsDataset:
    return NewReviewsDataset(path=str(tmp_path / "01_raw"))


def load_batches(incoming: Path) -> list[IncomingBatch]:
    return IncomingBatchesDataset(path=str(incoming), settle_seconds=0).load()


def check(batch: IncomingBatch) -> CheckedBatch:
    """Accept a batch unless its name says that it is bad."""
    if batch.name == BAD:
        none = tabulate_reviews([])
        return CheckedBatch(batch, BatchOutcome.QUARANTINED, none, none, {"reasons": ["poor"]}, "<p>poor</p>")
    row = (name_review(batch.batch_id, "a.csv#1"), "train", "pos", 8, None, batch.name)
    kept = tabulate_reviews([row])
    return CheckedBatch(batch, BatchOutcome.ACCEPTED, kept, kept, {"reasons": []}, "<p>fine</p>")


def take(incoming: Path, dataset: NewReviewsDataset) -> None:
    """Do what the pipeline does."""
    taken = find_batch_ids(dataset.load()["review_id"])
    batches = load_batches(incoming)
    dataset.save([recognize_batch(one) if one.batch_id in taken else check(one) for one in batches])


def list_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_batches_go_to_their_places_with_what_was_found(incoming: Path, dataset: NewReviewsDataset) -> None:
    ids = {batch.name: batch.batch_id for batch in load_batches(incoming)}
    take(incoming, dataset)

    assert list(incoming.iterdir()) == []
    files = list_files(dataset.path)
    assert files.keys() == {
        *(f"accepted/{ids[GOOD]}/{name}" for name in ("report.json", "report.html", "reviews.parquet")),
        *(f"accepted/{ids['one.csv']}/{name}" for name in ("report.json", "report.html", "reviews.parquet")),
        *(f"quarantine/{ids[BAD]}/{name}" for name in ("report.json", "report.html")),
        *(f"accepted/{ids[GOOD]}/original/{GOOD}/{name}" for name in ("deep/a.csv", ".note")),
        *(f"quarantine/{ids[BAD]}/original/{BAD}/{name}" for name in ("deep/a.csv", ".note")),
        f"accepted/{ids['one.csv']}/original/one.csv",
    }
    assert json.loads(files[f"quarantine/{ids[BAD]}/report.json"]) == {"reasons": ["poor"]}
    assert files[f"accepted/{ids[GOOD]}/original/{GOOD}/deep/a.csv"] == b"text\nx\n"


def test_load_returns_the_reviews_of_accepted_batches(incoming: Path, dataset: NewReviewsDataset) -> None:
    empty = dataset.load()
    take(incoming, dataset)
    reviews = dataset.load()

    assert empty.empty
    assert sorted(reviews["text"]) == ["good", "one.csv"]
    assert reviews["review_id"].is_monotonic_increasing
    for table in (empty, reviews):
        assert table.columns.tolist() == list(REVIEW_COLUMNS)
        assert table.dtypes.to_dict() == REVIEW_TYPES


def test_the_digest_changes_with_accepted_batches_alone(incoming: Path, dataset: NewReviewsDataset) -> None:
    batches = load_batches(incoming)
    digests = [dataset.digest()]
    for batch in sorted(batches, key=lambda one: one.name):  # bad, good, one.csv
        dataset.save([check(batch)])
        digests.append(dataset.digest())

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_batch_that_was_accepted_before_is_removed(incoming: Path, dataset: NewReviewsDataset) -> None:
    copy = incoming.with_name("copy")
    shutil.copytree(incoming, copy)
    take(incoming, dataset)
    before = list_files(dataset.path)

    take(copy, dataset)

    assert list(copy.iterdir()) == []
    assert list_files(dataset.path) == before


def test_a_batch_that_was_quarantined_before_is_judged_anew(
    incoming: Path, dataset: NewReviewsDataset
) -> None:
    take(incoming, dataset)
    (folder,) = (dataset.path / "quarantine").iterdir()
    (folder / "original" / BAD).rename(incoming / BAD)
    (batch,) = load_batches(incoming)

    dataset.save([check(batch)])

    assert list(incoming.iterdir()) == []
    assert (folder / "original" / BAD / "deep/a.csv").read_text() == "text\ny\n"


def test_a_batch_that_changes_after_its_check_stays(
    incoming: Path, dataset: NewReviewsDataset, caplog: pytest.LogCaptureFixture
) -> None:
    checked = [check(batch) for batch in load_batches(incoming)]
    (incoming / "one.csv").write_text("text\nchanged\n")
    (incoming / BAD / "deep/a.csv").unlink()
    shutil.rmtree(incoming / GOOD)

    dataset.save(checked)

    assert sorted(path.name for path in incoming.iterdir()) == [BAD, "one.csv"]
    assert dataset.load().empty
    assert list_files(dataset.path) == {}
    assert caplog.text.count("has changed since it was checked: it stays for the next time") == 3


def test_what_takes_the_place_of_a_batch_while_it_is_removed_is_not_lost(
    incoming: Path, dataset: NewReviewsDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def replace_first(path: Path, target: Path) -> Path:
        if path.name == "one.csv":
            path.write_text("text\nsomething new\n")
        return rename(path, target)

    checked = [check(batch) for batch in load_batches(incoming) if batch.name == "one.csv"]
    monkeypatch.setattr(Path, "rename", replace_first)
    dataset.save(checked)

    assert (incoming / "one.csv").read_text() == "text\nsomething new\n"
    assert dataset.load()["text"].tolist() == ["one.csv"]


def test_a_table_of_another_version_is_refused_with_what_to_do(
    incoming: Path, dataset: NewReviewsDataset
) -> None:
    take(incoming, dataset)
    path = next(dataset.path.rglob("reviews.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({FORMAT_VERSION_KEY: b"0"}), path)

    with pytest.raises(DatasetError, match=r"has format version 0, .* reads 1: move .*original back"):
        dataset.load()


FILE_SYSTEM = ("open", "os.", "shutil.", "pathlib.")


def kill_at(step: int, incoming: Path, dataset: NewReviewsDataset) -> bool:
    """Take the batches in another process that dies before its n-th look at the file system.

    Returns:
        Whether it lived to its end.
    """
    child = os.fork()
    if child == 0:
        seen = iter(range(step))

        def die(event: str, arguments: tuple[object, ...]) -> None:
            is_ours = any(str(incoming.parent) in str(argument) for argument in arguments)
            if event.startswith(FILE_SYSTEM) and is_ours and next(seen, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die)
        try:
            take(incoming, dataset)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def follow(tmp_path: Path, apart: int) -> Iterator[tuple[Path, NewReviewsDataset, bool]]:
    """Yield a project for moments at which a run can be killed, so many steps apart, until one is not."""
    step, is_done = 0, False
    while not is_done:
        project = tmp_path / str(step)
        shutil.copytree(tmp_path / "incoming", project / "incoming")
        dataset = NewReviewsDataset(path=str(project / "01_raw"))
        is_done = kill_at(step, project / "incoming", dataset)
        yield project, dataset, is_done
        step += apart


@pytest.mark.slow
@pytest.mark.parametrize("apart", [9, pytest.param(1, marks=pytest.mark.full)])
def test_a_run_that_is_killed_anywhere_loses_nothing_and_takes_nothing_twice(
    incoming: Path, tmp_path: Path, dataset: NewReviewsDataset, apart: int
) -> None:
    dropped = list_files(incoming)
    (tmp_path / "whole").mkdir()
    shutil.copytree(incoming, tmp_path / "whole/incoming")
    whole = NewReviewsDataset(path=str(tmp_path / "whole/01_raw"))
    take(tmp_path / "whole/incoming", whole)
    expected, num_kills = list_files(whole.path), 0

    for project, killed, is_done in follow(tmp_path, apart):
        places = [project / "incoming", *killed.path.glob("*/[!.]*/original")]
        for name in {file.split("/")[0] for file in dropped}:  # whole in one place at least
            files = {file: content for file, content in dropped.items() if file.split("/")[0] == name}
            assert any(files.items() <= list_files(place).items() for place in places), project
        for folder in killed.path.glob("accepted/[!.]*"):
            assert pd.read_parquet(folder / "reviews.parquet")["text"].tolist() in (["good"], ["one.csv"])

        take(project / "incoming", killed)

        assert list_files(killed.path) == expected, project
        assert list((project / "incoming").iterdir()) == []
        num_kills += not is_done
    assert num_kills > 50 // apart
