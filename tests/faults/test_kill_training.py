"""`kedro run`, killed with `kill -9` and started again, ends with the files and the curves of a run that was not."""

import logging
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest

logger = logging.getLogger(__name__)

SEED = int(os.environ.get("MINIGPT_FAULT_SEED", "20"))
# Past the end of the first epoch, where texts are written. With a look at the validation films every other step and a
# checkpoint every third, moments of training fall into all three.
PARAMETERS = ",".join(
    f"training.{setting}"
    for setting in ("batch_size=64", "max_steps=60", "evaluate_every_steps=2", "checkpoint_every_steps=3")
)
# Lines that every run says. A moment is told by the last one before it: a busy machine takes longer for everything.
LANDMARK = re.compile(
    r"\d+ of \d+: \w+|Computing on .*|Epoch \d+, step \d+: validation loss .*|Training ended by .*"
)
# Where a phase begins.
PHASES = {"data": "", "tracing": "Computing on", "training": "validation loss", "end": "Training ended by"}
# With a checkpoint every third step and 60 steps, one more comes after it, and none after step 57.
BEFORE_LAST_CHECKPOINT = "step 56: validation loss"
CHECKPOINTS = "data/test/06_models/checkpoints"
FILES_AT_MOST = 3  # two are kept, and one may have been half written


@dataclass(frozen=True)
class Moment:
    """When a run is killed.

    Args:
        landmark: The last line that the run has said.
        next_landmark: The line after it: the latest that the run may come to, however quick it is this time.
        seconds: Since the landmark.
        in_checkpoint: Not before a checkpoint is being written.
    """

    landmark: str
    next_landmark: str
    seconds: float
    in_checkpoint: bool = False


class KedroRun:
    """A process of its own; what it says goes to a file."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._said = project / "said.txt"
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kedro", "run", "--env", "test", "--params", PARAMETERS],
                cwd=project,
                stdout=said,
                stderr=said,
            )

    def says(self, marker: str) -> bool:
        return marker in self._said.read_text()

    def landmarks(self) -> list[str]:
        return LANDMARK.findall(self._said.read_text())

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Return whether the condition came true before the end."""
        while self._process.poll() is None:
            if condition():
                return True
            time.sleep(0.001)
        return False

    def is_writing_a_checkpoint(self) -> bool:
        return any((self._project / CHECKPOINTS).glob(".*.partial"))

    def end(self) -> None:
        assert self._process.wait() == 0, self._said.read_text()

    def kill_at(self, moment: Moment) -> bool:
        """Return whether there was a process to kill."""
        self.wait_until(lambda: self.says(moment.landmark))
        due = time.monotonic() + moment.seconds
        is_alive = self.wait_until(lambda: time.monotonic() >= due or self.says(moment.next_landmark))
        if moment.in_checkpoint:
            is_alive = self.wait_until(self.is_writing_a_checkpoint)
        self._process.kill()
        self._process.wait()
        return is_alive


@dataclass(frozen=True)
class Uninterrupted:
    """A run that was left alone: where it ran, and when it said what."""

    project: Path
    landmarks: list[tuple[float, str]]

    def draw_moment(self, draw: random.Random, phase: str, begin: float = 0.0, end: float = 1.0) -> Moment:
        """Draw a moment of a phase, or between two shares of it; `checkpoint` is a phase of training."""
        begins = [self._begin(marker) for marker in PHASES.values()]
        bounds = dict(
            zip(PHASES, zip(begins, [*begins[1:], self.landmarks[-1][0]], strict=True), strict=True)
        )
        bounds["checkpoint"] = (self._begin(PHASES["training"]), self._begin(BEFORE_LAST_CHECKPOINT))
        first, last = bounds[phase]
        seconds = draw.uniform(first + begin * (last - first), first + end * (last - first))
        following = next(
            place for place, (said_at, _) in enumerate(self.landmarks) if place and said_at >= seconds
        )
        (said_at, landmark), (_, next_landmark) = self.landmarks[following - 1 : following + 1]
        return Moment(landmark, next_landmark, seconds - said_at, in_checkpoint=phase == "checkpoint")

    def _begin(self, marker: str) -> float:
        return next(said_at for said_at, landmark in self.landmarks if marker in landmark)


def run_uninterrupted(project: Path) -> Uninterrupted:
    started, run = time.monotonic(), KedroRun(project)
    landmarks = [(0.0, "")]

    def note_landmarks() -> bool:
        new = run.landmarks()[len(landmarks) - 1 :]
        landmarks.extend((time.monotonic() - started, landmark) for landmark in new)
        return False

    run.wait_until(note_landmarks)
    run.end()
    return Uninterrupted(project, landmarks)


@pytest.fixture(scope="module")
def uninterrupted(make_project: Callable[[str], Path]) -> Uninterrupted:
    return run_uninterrupted(make_project("uninterrupted"))


@pytest.fixture(autouse=True)
def _unchanged_store() -> Iterator[None]:
    yield
    mlflow.set_tracking_uri(None)


def list_runs(project: Path) -> list[mlflow.entities.Run]:
    """Return the runs of a project's store, the oldest first."""
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'minigpt'")
    return list(client.search_runs([experiment.experiment_id], order_by=["start_time"]))


def read_curve(project: Path, run: mlflow.entities.Run, name: str) -> list[tuple[int, float]]:
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))


def read_samples(run: mlflow.entities.Run) -> str:
    return (Path(run.info.artifact_uri.removeprefix("file://")) / "samples/generated.json").read_text()


def check_outcome(project: Path, expected: Path, read_files: Callable[[Path], dict[str, bytes]]) -> None:
    """Compare files, curves and texts with those of the uninterrupted run."""
    here, there = read_files(project), read_files(expected)
    assert sorted(here) == sorted(there)  # nothing half written, and no checkpoint, is left
    assert [name for name in here if here[name] != there[name]] == []
    *killed, ended = list_runs(project)
    (reference,) = list_runs(expected)
    assert {run.info.status for run in killed} <= {"KILLED", "FINISHED"}  # the latter if it was about to exit
    assert ended.info.status == "FINISHED"
    for name in ("train/loss", "val/loss", "test/loss"):
        assert read_curve(project, ended, name) == read_curve(expected, reference, name)
    assert read_samples(ended) == read_samples(reference)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_in_training_and_again_in_a_checkpoint_goes_on(
    uninterrupted: Uninterrupted,
    make_project: Callable[[str], Path],
    read_files: Callable[[Path], dict[str, bytes]],
) -> None:
    draw = random.Random(SEED)
    moments = [
        uninterrupted.draw_moment(draw, "training", 0.2, 0.5),
        uninterrupted.draw_moment(draw, "checkpoint", 0.8, 1.0),  # after one that the second run wrote whole
    ]
    logger.warning("MINIGPT_FAULT_SEED=%d: %s", SEED, moments)
    project = make_project("killed_twice")

    for moment in moments:
        assert KedroRun(project).kill_at(moment), "it ended too early"
        assert 1 <= len(list((project / CHECKPOINTS).iterdir())) <= FILES_AT_MOST
    last = KedroRun(project)
    last.end()

    assert last.says("Resuming from step ")
    first, second, ended = list_runs(project)
    assert second.data.tags["resumed_from"] == first.info.run_id
    assert ended.data.tags["resumed_from"] == second.info.run_id
    check_outcome(project, uninterrupted.project, read_files)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(20))
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(
    uninterrupted: Uninterrupted,
    make_project: Callable[[str], Path],
    read_files: Callable[[Path], dict[str, bytes]],
    number: int,
) -> None:
    draw = random.Random(f"{SEED} {number}")
    phase = ("data", "training", "checkpoint", "training", "end")[number % 5]
    moment = uninterrupted.draw_moment(draw, phase)
    logger.warning("MINIGPT_FAULT_SEED=%d: %s", SEED, moment)
    project = make_project(f"killed_{number}")

    assert KedroRun(project).kill_at(moment), "it ended too early"
    KedroRun(project).end()

    check_outcome(project, uninterrupted.project, read_files)
