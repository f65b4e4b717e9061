import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from minigpt_pipeline.processes import describe_process
from minigpt_pipeline.tracking import killed_runs
from minigpt_pipeline.tracking.killed_runs import PROCESS_TAG, mark_killed_runs


def find_status(run_id: str) -> str:
    return mlflow.get_run(run_id).info.status


def describe_a_killed_process() -> str:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    described = describe_process(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return described


def test_a_run_whose_process_was_killed_is_marked(run_id: str) -> None:
    mlflow.set_tag(PROCESS_TAG, describe_a_killed_process())

    mark_killed_runs(mlflow.active_run().info.experiment_id)

    assert find_status(run_id) == "KILLED"


def test_a_run_whose_process_id_was_given_to_another_is_marked(run_id: str) -> None:
    host, process_id, started = describe_process().rsplit(":", 2)
    mlflow.set_tag(PROCESS_TAG, f"{host}:{process_id}:{float(started) - 60:.2f}")

    mark_killed_runs(mlflow.active_run().info.experiment_id)

    assert find_status(run_id) == "KILLED"


@pytest.mark.parametrize(
    "process",
    [describe_process(), "elsewhere:1:0.00", "by hand", None],
    ids=["ours", "elsewhere", "strange", "unknown"],
)
def test_a_run_that_may_still_go_on_is_left_alone(run_id: str, process: str | None) -> None:
    if process:
        mlflow.set_tag(PROCESS_TAG, process)

    mark_killed_runs(mlflow.active_run().info.experiment_id)

    assert find_status(run_id) == "RUNNING"


def test_a_run_that_has_ended_stays_as_it_is(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killed_runs, "has_ended", lambda _: True)
    with mlflow.start_run() as run:
        mlflow.set_tag(PROCESS_TAG, describe_process())

    mark_killed_runs(run.info.experiment_id)

    assert find_status(run.info.run_id) == "FINISHED"


def test_what_mlflow_had_begun_to_write_goes(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow.log_text("whole", "pages/page.html")
    mlflow.set_tag(PROCESS_TAG, describe_process())
    folder = Path(mlflow.get_artifact_uri("pages").removeprefix("file://"))
    (folder / ".artifact.uploading.x1").write_text("hal")
    monkeypatch.setattr(killed_runs, "has_ended", lambda _: True)

    mark_killed_runs(mlflow.active_run().info.experiment_id)

    assert [path.name for path in folder.iterdir()] == ["page.html"]
