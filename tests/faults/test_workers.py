"""Two workers train one model: to the losses of one alone, with one MLflow run, and to the same end after a break.

A worker that is to be killed does it itself, as it begins a step: so the moment is certain.
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from minigpt_pipeline.local_workers import start
from tests.faults.conftest import tell_store

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

STEP = 7
"""That the worker begins when it is killed; the checkpoint before it is of step 4."""
NOTICED = 60
"""Seconds in which the others notice; 5 without a sign of life, and the rest for a busy machine."""
LAUNCH = """
import os, signal, sys
from minigpt_pipeline.model import training_loop

signal.signal(signal.SIGINT, signal.default_int_handler)
number, step = int(sys.argv.pop(1)), int(sys.argv.pop(1))
make_pairs, calls = training_loop.make_language_model_pairs, iter(range(1, 1000))

def make_pairs_and_die(batch):
    if next(calls) == step:
        os.kill(os.getpid(), number)
    return make_pairs(batch)

training_loop.make_language_model_pairs = make_pairs_and_die
from kedro.framework.cli.cli import main
main()
"""


@dataclass(frozen=True)
class Ended:
    """How a worker has ended, and what it has said."""

    code: int
    said: str

    @property
    def error(self) -> str:
        """The one message behind its log."""
        return self.said[self.said.rindex("Error: ") :].strip() if "Error: " in self.said else ""


def arguments(*parameters: str) -> list[str]:
    return ["run", "--pipelines", "training", "--env", "test", "--params", ",".join(parameters)]


def train(
    folders: Sequence[Path],
    *parameters: str,
    ended_by: dict[int, signal.Signals] | None = None,
    of_others: Sequence[str] | None = None,
) -> list[Ended]:
    """Train with a worker in each folder.

    Args:
        folders: Projects; two workers may share one.
        parameters: Of the chief, and of the others but for `of_others`.
        ended_by: The signal that ends a worker, by its number.
        of_others: Parameters.
    """
    commands = []
    for index in range(len(folders)):
        mine = parameters if index == 0 or of_others is None else of_others
        number = (ended_by or {}).get(index)
        how = ["-m", "kedro"] if number is None else ["-c", LAUNCH, str(int(number)), str(STEP)]
        commands.append([sys.executable, *how, *arguments("strategy=multi_worker", *mine)])
    files = [folder / f"said_{index}.txt" for index, folder in enumerate(folders)]
    outputs = [file.open("w") for file in files]
    workers = start(commands, outputs, folders)
    try:
        while all(worker.poll() is None for worker in workers):
            time.sleep(0.1)
        codes = [worker.wait(NOTICED) for worker in workers]
    finally:
        for worker, output in zip(workers, outputs, strict=True):
            worker.kill()
            output.close()
    said = [file.read_text() for file in files]
    for file in files:
        file.unlink()
    return [Ended(*each) for each in zip(codes, said, strict=True)]


@pytest.fixture(scope="module")
def prepared(make_project: Callable[[str], Path]) -> Path:
    """A project with data, in which a lost worker is noticed after five seconds."""
    project = make_project("workers")
    for file in project.glob("conf/*/catalog_compute.yml"):
        text = re.sub(r"worker_lost_seconds: \d+", "worker_lost_seconds: 5", file.read_text())
        file.write_text(text)
    run_alone(project, "--pipelines", "data")
    return project


def run_alone(project: Path, *options: str) -> None:
    command = [sys.executable, "-m", "kedro", "run", "--env", "test", *options]
    subprocess.run(command, cwd=project, check=True, capture_output=True)


@pytest.fixture
def folders(prepared: Path, tmp_path: Path) -> list[Path]:
    """Two projects with the same data, as on two machines."""
    copies = [tmp_path / "chief", tmp_path / "other"]
    for copy in copies:
        shutil.copytree(prepared, copy)
        tell_store(prepared, copy)
    (copies[1] / "mlflow.db").unlink()
    return copies


@pytest.fixture(scope="module")
def unbroken(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory, read_files: Callable[[Path], dict[str, bytes]]
) -> dict[str, bytes]:
    """The files of a training by two workers that was left alone."""
    project = tmp_path_factory.mktemp("unbroken") / "project"
    shutil.copytree(prepared, project)
    tell_store(prepared, project)
    chief, other = train([project, project])
    assert (chief.code, other.code) == (0, 0), chief.said + other.said
    return read_files(project)


def list_models(project: Path) -> list[mlflow.entities.Run]:
    """Return the runs that trained, the oldest first."""
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'minigpt'")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    return [one for one in runs if one.data.tags["pipeline"] == "training"]


def history(project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / "data/test/07_model_output/training_history.parquet")


def test_two_workers_train_to_the_losses_of_one_with_one_run(folders: list[Path]) -> None:
    project, alone = folders
    chief, other = train([project, project], "model.dropout=0.0", "training.log_every_steps=1")
    run_alone(alone, "--pipelines", "training", "--params", "model.dropout=0.0,training.log_every_steps=1")

    assert (chief.code, other.code) == (0, 0), chief.said + other.said
    assert "Worker 1 has done its part and saves nothing: worker 0, the chief, at" in other.said
    both, one = history(project), history(alone)
    assert both[["step", "words", "name"]].equals(one[["step", "words", "name"]])
    is_loss = one["name"].isin(["train/loss", "val/loss"])
    assert one.loc[is_loss, "value"].iloc[-1] < one.loc[is_loss, "value"].iloc[0] - 0.2
    assert both["value"][is_loss].to_list() == pytest.approx(one["value"][is_loss].to_list(), abs=1e-4)
    (run,) = list_models(project)
    assert run.info.status == "FINISHED"
    assert run.data.params["compute.strategy"] == "multi_worker"
    assert run.data.tags["device"] == "2 workers of CPU"


@pytest.mark.parametrize(
    ("lost", "number"),
    [(1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGTERM)],
    ids=["other killed", "chief killed", "other terminated"],
)
def test_a_lost_worker_is_noticed_and_the_training_goes_on_from_the_chief_s_checkpoint(
    lost: int,
    number: signal.Signals,
    folders: list[Path],
    unbroken: dict[str, bytes],
    read_files: Callable[[Path], dict[str, bytes]],
) -> None:
    left = read_files(folders[1])

    ended = train(folders, ended_by={lost: number})

    stays = ended[1 - lost]
    assert ended[lost].code == -number
    assert stays.code == 1, stays.said
    assert re.match(
        rf"Error: Lost worker {lost}\b.* at 127\.0\.0\.1:\d+, and the training can't go on", stays.error
    )
    assert "Traceback" not in stays.said
    assert len(stays.error.splitlines()) == 1

    chief, other = train(folders)

    assert (chief.code, other.code) == (0, 0), chief.said + other.said
    assert "Resuming from step 4 of 20" in chief.said
    found = read_files(folders[0])
    assert sorted(found) == sorted(unbroken)
    assert [name for name in found if found[name] != unbroken[name]] == []
    first, second = list_models(folders[0])
    assert (first.info.status, second.info.status) == ("FAILED" if lost else "KILLED", "FINISHED")
    assert second.data.tags["resumed_from"] == first.info.run_id
    assert read_files(folders[1]) == left  # of the other nothing is written, neither data nor a run
    assert not (folders[1] / "mlflow.db").exists()


def test_ctrl_c_on_one_worker_stops_all_behind_the_same_step(
    folders: list[Path], unbroken: dict[str, bytes], read_files: Callable[[Path], dict[str, bytes]]
) -> None:
    ended = train(folders, ended_by={1: signal.SIGINT})

    assert [each.code for each in ended] == [130, 130], ended[0].said + ended[1].said
    for each in ended:
        assert each.said.strip().endswith(f"training goes on behind step {STEP} of 20.")

    chief, other = train(folders)

    assert (chief.code, other.code) == (0, 0), chief.said + other.said
    assert f"Resuming from step {STEP} of 20" in chief.said
    assert read_files(folders[0]) == unbroken


def test_the_chief_s_clock_ends_the_training_of_all(folders: list[Path]) -> None:
    chief, other = train(folders, "training.max_minutes=0.00001", of_others=["training.max_steps=19"])

    assert (chief.code, other.code) == (0, 0), chief.said + other.said
    assert "Training ended by max_minutes after 1 steps" in chief.said
    assert "Training ended by max_minutes after 1 steps" in other.said


def test_unlike_parameters_are_told_on_all_workers(folders: list[Path]) -> None:
    ended = train(folders, of_others=["training.seed=7"])

    assert [each.code for each in ended] == [1, 1]
    for each in ended:
        assert re.match(
            r"Error: worker 1 at 127\.0\.0\.1:\d+ has other training than the chief: give all", each.error
        )


def test_a_batch_that_can_t_be_divided_is_told(folders: list[Path]) -> None:
    ended = train(folders, "training.batch_size=15")

    assert [each.code for each in ended] == [1, 1]
    assert "Error: batch_size=15 can't be divided among 2 devices" in ended[0].said
