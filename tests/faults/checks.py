"""What holds behind every fault, and behind the run that follows it."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from minigpt_pipeline.model.saved_model import load_trained_model
from minigpt_pipeline.tracking.model_registry import MODEL_FILE
from tests.faults.stages import Stage, Stages

UNFINISHED = re.compile(r"(^|/)\.[^/]+\.(partial|old)(/|$)")
PASSING = re.compile(r"(^|/)(\.[^/]*\.(lock|json)|[^/]*-journal|\.gitkeep)$|/checkpoints/")
"""Locks, their notes, SQLite's journals, and checkpoints, which are read by whoever goes on from them."""
OF_THE_MOMENT = re.compile(
    r"lineage\.json$|training_speed|promotion_decision|comparison\.html|incoming|drift_metrics|sweep|search|best_parameters"
    r"|served_metrics|monitoring|/accepted/|incoming/new"
)
"""Files that hold times, identities, or what a second look at new data finds."""
TRAINED = {"train/loss", "train/perplexity", "train/learning_rate", "val/loss", "val/perplexity"}
MEASURED_BY_CLOCK = re.compile(r"^system/|seconds|per_second|^incoming/|^drift|served|search|sweep|trial")
IN_TIME_OF_DAY = re.compile(r"model_card\.md|promotion/|comparison|monitoring|incoming|sweep")


@dataclass(frozen=True)
class TrackedRun:
    """A run as MLflow's tables hold it.

    Args:
        metrics: Values by name and step.
        artifacts: Contents by name.
    """

    run_id: str
    name: str
    status: str
    metrics: dict[tuple[str, int], float]
    artifacts: dict[str, bytes]


@contextmanager
def reading(project: Path) -> Iterator[sqlite3.Connection]:
    """Give the store of a project, read behind MLflow's back; what a kill has left of a commit is rolled back."""
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as store:
        yield store


def list_runs(project: Path, place: Path | None = None) -> list[TrackedRun]:
    """Return the runs of a project in the order in which they were made.

    Args:
        project: Or a copy of it.
        place: Where the project was when they were made, if it is a copy.
    """
    with reading(project) as store:
        rows = store.execute(
            "SELECT run_uuid, name, status, artifact_uri FROM runs ORDER BY rowid"
        ).fetchall()
        runs = []
        for run_id, name, status, uri in rows:
            query = "SELECT key, step, value FROM metrics WHERE run_uuid = ?"
            metrics = {(key, step): value for key, step, value in store.execute(query, (run_id,))}
            folder = Path(uri.removeprefix("file://"))
            folder = project / folder.relative_to(place) if place else folder
            runs.append(TrackedRun(run_id, name, status, metrics, read_folder(folder)))
    return runs


def read_folder(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@cache
def read_copy(project: Path) -> dict[str, bytes]:
    """Read the files of a copy, which nobody changes."""
    return read_data(project)


def read_data(project: Path) -> dict[str, bytes]:
    return {
        name: content for name, content in read_folder(project / "data").items() if not PASSING.search(name)
    }


def check_recovery(stages: Stages, stage: Stage, known: set[str]) -> None:
    """See that all is whole behind a fault, and that the next run comes to the end of one that was left alone.

    Args:
        stages: Where the fault was.
        stage: The pipeline that had it.
        known: Ids of the runs that there were before.
    """
    check_whole(stages.project, stage)
    runs = list_runs(stages.project)
    stages.launcher.run(stages.project, *stage.arguments)
    check_end(stages.project, stage, {run.run_id: run.status for run in runs})
    if stage.name in {"training", "retraining"}:
        check_metrics_are_kept(stages.project, [run for run in runs if run.run_id not in known])


def check_whole(project: Path, stage: Stage) -> None:
    """See that each file is the old one or the new one, and whole, whatever was half written beside it."""
    found, before, after = read_data(project), read_copy(stage.before), read_copy(stage.after)
    for name in sorted(found.keys() | before.keys() | after.keys()):
        if UNFINISHED.search(name):
            continue
        if name in before and name in after:
            assert name in found, f"{name} is lost"
        if name in found and not OF_THE_MOMENT.search(name):
            assert found[name] in (before.get(name), after.get(name)), f"{name} is neither old nor new"
        if name in found:
            read_itself(project / "data" / name)
    check_lineages(found, before, after)
    check_folders(found, before, after)
    with reading(project) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check_champion(project)


def read_itself(path: Path) -> None:
    """Let a file be read as its readers read it."""
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".parquet":
        pd.read_parquet(path)
    elif path.suffix == ".html":
        assert path.read_text().rstrip().endswith("</html>")
    elif path.suffix == ".keras":
        load_trained_model(path)
    elif path.suffix == ".db":
        with contextlib.closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check_lineages(found: dict[str, bytes], before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """See that no lineage that has a key speaks of other content than that which lies there."""
    for name in found:
        described = name.removesuffix(".lineage.json")
        if described == name or OF_THE_MOMENT.search(described) or described not in found:
            continue
        key = json.loads(found[name])["key"]
        for content in (before, after):
            if name in content and key is not None and key == json.loads(content[name])["key"]:
                break
        else:
            continue
        keys_differ = (
            before.get(name, b"") and json.loads(before[name])["key"] != json.loads(after[name])["key"]
        )
        if keys_differ:
            assert found[described] == content[described], f"{name} speaks of another file"


def check_folders(found: dict[str, bytes], before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """See that the pages of Data Docs are of one report."""

    def pages(files: dict[str, bytes]) -> dict[str, bytes]:
        return {name: content for name, content in files.items() if "/validation_data_docs/" in name}

    finished = {name: content for name, content in found.items() if not UNFINISHED.search(name)}
    assert pages(finished) in (pages(before), pages(after))


def check_champion(project: Path) -> None:
    """See that a champion, where there is one, is a version whose model loads.

    MLflow would keep a connection to the database that lay there before the project was put back.
    """
    query = """SELECT storage_location FROM registered_model_aliases LEFT JOIN model_versions
        USING (workspace, name, version) WHERE alias = 'champion'"""
    with reading(project) as store:
        for (place,) in store.execute(query):
            load_trained_model(Path(place.removeprefix("file://")) / MODEL_FILE)


def check_metrics_are_kept(project: Path, killed: list[TrackedRun]) -> None:
    """See that all that killed trainings had logged is in the history, and in the run that went on."""
    # A retraining goes on with a run that is older than that of its look at new data.
    last = next(
        run for run in reversed(list_runs(project)) if run.name.startswith(("training", "retraining"))
    )
    history = pd.read_parquet(project / "data/test/07_model_output/training_history.parquet")
    recorded = history.set_index(["name", "step"])["value"].to_dict()
    for run in killed:
        logged = {key: value for key, value in run.metrics.items() if key[0] in TRAINED}
        assert logged.items() <= recorded.items()
    assert recorded.items() <= last.metrics.items()


def check_end(project: Path, stage: Stage, statuses: dict[str, str]) -> None:
    """See that all is as behind a run that was left alone.

    Args:
        project: Where the same command has run again.
        stage: Which.
        statuses: Of the runs by their ids, before it ran again.
    """
    found, expected = read_data(project), read_copy(stage.after)
    assert [name for name in found if UNFINISHED.search(name)] == []
    of_all_times = [
        {name: content for name, content in files.items() if "/accepted/" not in name}
        for files in (found, expected)
    ]
    assert of_all_times[0].keys() == of_all_times[1].keys()
    assert [
        name
        for name in expected
        if name in found and found[name] != expected[name] and not OF_THE_MOMENT.search(name)
    ] == []
    check_accepted(found, expected)
    check_runs(project, stage, statuses)
    with reading(project) as store, reading(stage.after) as there:
        query = "SELECT alias, version FROM registered_model_aliases ORDER BY alias"
        assert store.execute(query).fetchall() == there.execute(query).fetchall()


def check_accepted(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """See that each batch was taken in once."""
    here, there = (
        sorted(
            content
            for name, content in files.items()
            if name.endswith("reviews.parquet") and "/accepted/" in name
        )
        for files in (found, expected)
    )
    assert here == there


def check_runs(project: Path, stage: Stage, statuses: dict[str, str]) -> None:
    """See that each run says how it ended, and that the last one has all that it should."""
    runs, references = list_runs(project), list_runs(stage.after, project)
    reference = [run for run in references if "trial" not in run.name][-1]
    # A retraining goes on with a run that is older than that of its look at new data.
    last = [run for run in runs if run.name == reference.name][-1]
    for run in runs:
        before = statuses.get(run.run_id, "FINISHED")
        assert run is last or run.status == ("KILLED" if before == "RUNNING" else before), run.name
    assert last.status == "FINISHED"
    assert drop_moments(last) == drop_moments(reference)


def drop_moments(run: TrackedRun) -> tuple[dict[tuple[str, int], float], list[str], dict[str, bytes]]:
    """Return of a run what equal runs have in common: metrics, names of artifacts, and the content of most of them."""
    metrics = {key: value for key, value in run.metrics.items() if not MEASURED_BY_CLOCK.search(key[0])}
    names = sorted(name for name in run.artifacts if not IN_TIME_OF_DAY.search(name))
    return metrics, names, {name: run.artifacts[name] for name in names}
