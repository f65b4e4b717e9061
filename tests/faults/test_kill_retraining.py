"""`kedro run --pipelines retraining`, killed with `kill -9`: one champion that loads, data neither lost nor doubled."""

import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from minigpt_pipeline.model.saved_model import load_trained_model
from minigpt_pipeline.text.synthetic_reviews import write_archive
from minigpt_pipeline.tracking.model_registry import ModelRegistry
from tests.faults.conftest import tell_store

logger = logging.getLogger(__name__)

SEED = int(os.environ.get("MINIGPT_FAULT_SEED", "20"))
KILLS = int(os.environ.get("MINIGPT_KILLS", "5"))
"""Twenty take a quarter of an hour."""
OLD, NEW = 4000, 300
COMMAND = [sys.executable, "-m", "kedro", "run", "--pipelines", "retraining", "--env", "test"]
ALIAS_MOVES_TAKE = 0.15
"""Seconds, about: from the challenger's alias with its decision to the last move."""
LINES_ARE_APART = 4.0
"""Seconds at most, about."""


def start(project: Path) -> subprocess.Popen[bytes]:
    said = (project / "said.txt").open("w")
    return subprocess.Popen(COMMAND, cwd=project, stdout=said, stderr=said, start_new_session=True)


def run(project: Path) -> None:
    assert start(project).wait() == 0, (project / "said.txt").read_text()


def make_registry(project: Path) -> ModelRegistry:
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return ModelRegistry("minigpt")


@pytest.fixture(scope="module")
def prepared(make_project: Callable[[str], Path]) -> Path:
    """A project with a champion, and a batch of new reviews that nobody has looked at yet."""
    project = make_project("retraining")
    run(project)
    write_archive(project / "data/01_raw/incoming/new.tar.gz", NEW, seed=77)
    return project


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("uninterrupted") / "project"
    shutil.copytree(prepared, copy)
    tell_store(prepared, copy)
    run(copy)
    return copy


@pytest.fixture(autouse=True)
def _unchanged_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    yield
    mlflow.set_tracking_uri(None)


def challenger_is_decided_on(project: Path) -> bool:
    """Ask the store behind MLflow's back, in a thousandth of a second."""
    with sqlite3.connect(f"file:{project / 'mlflow.db'}?mode=ro", uri=True) as store:
        return bool(
            store.execute(
                "SELECT 1 FROM registered_model_aliases AS alias JOIN model_version_tags AS tag "
                "ON alias.version = tag.version WHERE alias.alias = 'challenger' AND tag.key = 'decision'"
            ).fetchone()
        )


def count_lines(project: Path) -> int:
    """Return how many lines of its log a run has said; they come at the same steps, however busy the machine is."""
    return (project / "said.txt").read_text().count(" INFO ")


def kill_at(project: Path, process: subprocess.Popen[bytes], lines: int | None, seconds: float) -> None:
    """Kill a run some time behind a line of its log, or behind the record of the decision, and before the next one."""
    if lines is None:
        while process.poll() is None and not challenger_is_decided_on(project):
            time.sleep(0.002)
    while process.poll() is None and lines is not None and count_lines(project) < lines:
        time.sleep(0.001)
    due = time.monotonic() + seconds
    while (
        process.poll() is None and time.monotonic() < due and (lines is None or count_lines(project) == lines)
    ):
        time.sleep(0.001)
    assert process.poll() is None, "it ended too early"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check_nothing_is_lost(project: Path, folder: Path) -> None:
    """Whatever was killed: one champion that loads, and the batch as a whole where it was or where it goes."""
    registry = make_registry(project)
    champion = registry.aliases()["champion"]
    load_trained_model(registry.fetch(champion, folder))
    accepted = list((project / "data/test/01_raw/accepted").glob("[!.]*/reviews.parquet"))
    assert (project / "data/01_raw/incoming/new.tar.gz").exists() or len(accepted) == 1
    assert not list((project / "data/test/01_raw").glob("quarantine/[!.]*"))
    for file in accepted:
        assert len(pd.read_parquet(file)) == NEW


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(KILLS))
def test_a_retraining_killed_at_any_moment_comes_to_the_same_end(
    prepared: Path,
    uninterrupted: Path,
    project: Path,
    tmp_path: Path,
    read_files: Callable[[Path], dict[str, bytes]],
    number: int,
) -> None:
    draw = random.Random(f"{SEED} {number}")
    lines = None if number % 3 == 2 else draw.randrange(count_lines(uninterrupted))
    seconds = draw.uniform(0, ALIAS_MOVES_TAKE if lines is None else LINES_ARE_APART)
    logger.warning("MINIGPT_FAULT_SEED=%d: %.3f s behind line %s", SEED, seconds, lines)

    kill_at(project, start(project), lines, seconds)
    check_nothing_is_lost(project, tmp_path / "champion")
    run(project)

    check_nothing_is_lost(project, tmp_path / "champion afterwards")
    raw = pd.read_parquet(project / "data/test/02_intermediate/raw_reviews.parquet", columns=["text"])
    assert (len(raw), raw["text"].nunique()) == (OLD + NEW, OLD + NEW)
    assert not list((project / "data/01_raw/incoming").glob("[!.]*"))
    assert not list((project / "data").rglob("*.partial"))
    registry = make_registry(project)
    aliases, versions = registry.aliases(), registry.versions()
    assert aliases == {"champion": versions[-1], "previous_champion": "1"}
    (experiment,) = mlflow.search_experiments(filter_string="name = 'minigpt'")
    runs = mlflow.search_runs([experiment.experiment_id], output_format="list")
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    here, there = read_files(project), read_files(uninterrupted)
    differing = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
    # The record has a time and a version; the others tell of the newest look at what came in, which found nothing new.
    of_this_run = ("promotion_decision", "incoming", "drift_metrics", "01_raw/accepted")
    assert {name for name in differing if not any(part in name for part in of_this_run)} == set()
