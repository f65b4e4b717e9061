"""`make schedule` as an operator starts it: real processes of Dagster, real runs, a real MLflow store."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import mlflow
import psutil
import pytest
import yaml

from minigpt_pipeline.project_lock import find_holder, holding, is_held
from minigpt_pipeline.scheduling.definitions import CYCLE_TAG

PATIENCE = 90.0
QUICK = {"timezone": "UTC", "pipeline": "data", "environment": "test", "retries": 0, "retry_delay": 1}
NEVER = {**QUICK, "cron": "0 0 29 2 *", "retries": 2, "enabled": True}
LOOK_OFTEN = {"schedule": "quick", "look_every": 1, "quiet": 0}
MEMORY = 250
"""MB that it may take while it waits."""


class Schedules:
    """The schedules of a project, in processes of their own; what they say goes to a file."""

    def __init__(self, project: Path, **variables: str) -> None:
        self.said = project / "said.txt"
        self.project = project
        command = [sys.executable, "-m", "minigpt_pipeline.scheduling", "--headless"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        with self.said.open("a") as said:
            self.process = subprocess.Popen(
                command, cwd=project, env=environment | variables, stdout=said, stderr=said
            )

    def wait_for(self, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if found := condition():
                return found
            assert self.process.poll() is None, self.said.read_text()
            time.sleep(0.1)
        raise AssertionError(self.said.read_text())

    def wait_for_start(self) -> None:
        self.wait_for(lambda: "The schedules are at work" in self.said.read_text())

    def list_processes(self) -> list[psutil.Process]:
        ours = psutil.Process(self.process.pid)
        return [ours, *ours.children(recursive=True)]

    def drop(self, name: str) -> None:
        """Put something new into the folder of incoming data."""
        incoming = self.project / "data/01_raw/incoming"
        incoming.mkdir(exist_ok=True)
        (incoming / name).write_text("A fine film.")


@contextmanager
def at_work(project: Path, **variables: str) -> Iterator[Schedules]:
    schedules = Schedules(project, **variables)
    try:
        yield schedules
    finally:
        if schedules.process.poll() is None:
            schedules.process.send_signal(signal.SIGINT)
            schedules.process.wait(120)


def configure(project: Path, **values: Any) -> None:
    nightly = {"enabled": False, "pipeline": "data"}
    others = {"nightly": nightly, "monitoring": {"enabled": False}}
    values["schedules"] = {**others, **values["schedules"]}
    (project / "conf/local").mkdir(exist_ok=True)
    (project / "conf/local/schedules.yml").write_text(yaml.safe_dump(values))


def list_dagster_runs(project: Path) -> list[dg.RunRecord]:
    """The oldest first."""
    with dg.DagsterInstance.from_config(str(project / ".dagster")) as instance:
        return [*instance.get_run_records()][::-1]


def list_mlflow_runs(project: Path) -> list[mlflow.entities.Run]:
    """The oldest first."""
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'minigpt'")
    return list(client.search_runs([experiment.experiment_id], order_by=["start_time"]))


def list_ended(processes: list[psutil.Process]) -> bool:
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)


def measure_memory(processes: list[psutil.Process]) -> float:
    """Return MB; memory that several share counts once."""
    return sum(process.memory_full_info().pss for process in processes) / 1e6


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="processes are tied to their parent on Linux alone")
def test_they_are_alone_and_leave_nothing_behind_that_the_next_start_does_not_sweep(
    make_project: Callable[[str], Path],
) -> None:
    project = make_project("killed_schedules")
    configure(project, schedules={"quick": NEVER}, new_data=LOOK_OFTEN)
    with at_work(project) as schedules:
        schedules.wait_for_start()
        assert measure_memory(schedules.list_processes()) < MEMORY

        second = subprocess.run(
            [sys.executable, "-m", "minigpt_pipeline.scheduling", "--headless"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        message = f"The schedules of {project} are run already, by process {schedules.process.pid}: end it"
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith(f"Error: {message}")

        schedules.drop("one.txt")
        schedules.wait_for(lambda: is_held(project))
        processes = schedules.list_processes()
        schedules.process.kill()
        deadline = time.monotonic() + PATIENCE
        while not list_ended(processes) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list_ended(processes)
        assert not is_held(project)

    with at_work(project) as schedules:
        schedules.wait_for_start()
        assert [run.dagster_run.status.value for run in list_dagster_runs(project)] == ["FAILURE"]
        assert {run.info.status for run in list_mlflow_runs(project)} <= {"KILLED", "FAILED"}
        schedules.drop("two.txt")
        schedules.wait_for(
            lambda: list_dagster_runs(project)[-1].dagster_run.status is dg.DagsterRunStatus.SUCCESS
        )


@pytest.mark.full
def test_new_data_begins_a_run_and_the_end_of_the_schedules_interrupts_it(
    make_project: Callable[[str], Path],
) -> None:
    project = make_project("new_data")
    configure(project, schedules={"quick": NEVER}, new_data=LOOK_OFTEN)
    with at_work(project) as schedules:
        schedules.wait_for_start()
        schedules.drop("one.txt")
        schedules.wait_for(
            lambda: [run.dagster_run.status.value for run in list_dagster_runs(project)] == ["SUCCESS"]
        )
        schedules.drop("two.txt")
        schedules.wait_for(lambda: len(list_mlflow_runs(project)) == 2)
        holder = find_holder(project)
        processes = schedules.list_processes()
        schedules.process.send_signal(signal.SIGTERM)
        assert schedules.process.wait(120) == 0

    assert holder
    assert (holder.schedule, holder.command) == ("quick", "kedro run --pipelines data --env test")
    assert list_ended(processes)
    assert not is_held(project)
    first, second = list_dagster_runs(project)
    assert second.dagster_run.status is dg.DagsterRunStatus.CANCELED
    finished, interrupted = list_mlflow_runs(project)
    for record, run, status in ((first, finished, "FINISHED"), (second, interrupted, "KILLED")):
        assert run.info.status == status
        assert run.data.tags["cycle"] == record.dagster_run.tags[CYCLE_TAG]
        assert run.data.tags["schedule"] == "quick"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cron": "0 3"}, "schedules.quick.cron='0 3': five fields are expected"),
        ({"pipeline": "dta"}, "schedules.quick.pipeline=dta: there is no pipeline 'dta', only __default__,"),
    ],
)
def test_schedules_that_are_wrong_end_with_one_message(
    make_project: Callable[[str], Path], values: dict[str, str], message: str
) -> None:
    project = make_project("wrong")
    configure(project, schedules={"quick": NEVER | values})

    with at_work(project) as schedules:
        assert schedules.process.wait(PATIENCE) == 1

    assert schedules.said.read_text().startswith(f"Error: {message}")
    assert len(schedules.said.read_text().splitlines()) == 1


@pytest.mark.full
@pytest.mark.timeout(600)
def test_every_tick_is_run_or_skipped_with_its_reason(make_project: Callable[[str], Path]) -> None:
    project = make_project("ticks")
    broken = {**QUICK, "params": {"vectorization.min_words": -3}, "cron": "1-59/2 * * * *", "enabled": True}
    even = {**QUICK, "cron": "*/2 * * * *", "enabled": True}
    told = project / "told.txt"
    configure(
        project,
        schedules={"even": even, "broken": broken},
        new_data={"schedule": None},
        notification={"command": f"tee -a {told}"},
    )
    with at_work(project) as schedules:
        schedules.wait_for_start()
        began = time.time()
        for _ in range(2):
            wait_for_tick(30)
        with holding(project, ["--env", "sample"], "sample"):
            wait_for_tick(20)
        wait_for_tick(40)
        ended = time.time()
        assert measure_memory(schedules.list_processes()) < MEMORY

    with dg.DagsterInstance.from_config(str(project / ".dagster")) as instance:
        ticks = [
            tick
            for state in instance.all_instigator_state()
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
            if state.instigator_name in {"even", "broken"}
        ]
    due = range(int(began // 60 + 1) * 60, int(ended) + 1, 60)
    assert sorted(tick.timestamp for tick in ticks) == [*due]
    (skipped,) = [tick for tick in ticks if tick.status.value == "SKIPPED"]
    assert skipped.skip_reason.startswith(f"`kedro run --env sample` (process {os.getpid()}, since ")

    records = {record.dagster_run.tags[CYCLE_TAG]: record for record in list_dagster_runs(project)}
    assert len(records) == len(ticks) - 1
    times = sorted((record.start_time, record.end_time) for record in records.values())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(times) if end is not None)
    runs = {run.data.tags["cycle"]: run for run in list_mlflow_runs(project)}
    assert runs.keys() == records.keys()
    for cycle, record in records.items():
        failed = record.dagster_run.job_name == "broken"
        assert record.dagster_run.status.value == ("FAILURE" if failed else "SUCCESS")
        assert runs[cycle].info.status == ("FAILED" if failed else "FINISHED")
        if failed:
            assert "vectorization.min_words=-3: " in runs[cycle].data.tags["mlflow.note.content"]
            assert cycle in told.read_text()


def wait_for_tick(seconds_behind: float) -> None:
    """Wait until some seconds behind the next full minute."""
    now = datetime.now(UTC)
    time.sleep(60 - now.second - now.microsecond / 1e6 + seconds_behind)
