"""Schedules whose Dagster keeps runs in a real PostgreSQL, and lets them work in this process or beside it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import pytest

from minigpt_pipeline.project_lock import find_holder, is_held
from minigpt_pipeline.scheduling.definitions import CYCLE_TAG
from tests.scheduling.engines import Engine, serving
from tests.scheduling.test_schedules_at_work import (
    LOOK_OFTEN,
    NEVER,
    PATIENCE,
    Schedules,
    at_work,
    configure,
    list_dagster_runs,
    list_mlflow_runs,
)
from tests.services.servers import Database, find_postgresql, serving_postgresql

pytestmark = pytest.mark.full
URL = "DAGSTER_POSTGRES_URL"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Database]:
    programs = find_postgresql()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: `apt install postgresql`")
    with serving_postgresql(programs) as database:
        yield database


def list_statuses(project: Path) -> list[str]:
    return [record.dagster_run.status.value for record in list_dagster_runs(project)]


def test_ticks_and_runs_are_kept_in_postgresql(
    make_project: Callable[[str], Path], cluster: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = cluster.make("ticks")
    monkeypatch.setenv(URL, database.uri)
    project = make_project("postgresql")
    each_minute = NEVER | {"cron": "* * * * *"}
    configure(project, instance="postgresql", schedules={"quick": each_minute}, new_data={"schedule": None})
    with at_work(project) as schedules:
        schedules.wait_for_start()
        schedules.wait_for(lambda: "SUCCESS" in list_statuses(project), 180)

    record = list_dagster_runs(project)[0]
    ((run_id, status),) = database.query("SELECT run_id, status FROM runs ORDER BY id LIMIT 1")
    assert (run_id, status) == (record.dagster_run.run_id, "SUCCESS")
    assert ("SUCCESS",) in database.query("SELECT status FROM job_ticks")
    assert list((project / ".dagster").rglob("*.db")) == []
    assert list_mlflow_runs(project)[0].data.tags["cycle"] == record.dagster_run.tags[CYCLE_TAG]


@pytest.fixture
def engine(
    make_project: Callable[[str], Path],
    cluster: Database,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Engine]:
    """A project whose runs work in containers; the engine runs their commands in the project."""
    project = make_project("docker")
    engine = Engine(project)
    with serving(engine) as address:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
        monkeypatch.setenv("MINIGPT_IMAGE", "minigpt-pipeline")
        monkeypatch.setenv(URL, cluster.make(f"docker_{request.node.name.split('_')[1]}").uri)
        configure(project, instance="docker", schedules={"quick": NEVER}, new_data=LOOK_OFTEN)
        yield engine
        for container in engine.containers.values():
            container.stop()


def start(project: Path) -> AbstractContextManager[Schedules]:
    return at_work(project, MLFLOW_TRACKING_URI="sqlite:///mlflow.db")


def test_containers_work_on_while_the_schedules_begin_again(engine: Engine) -> None:
    project = engine.workdir
    assert project
    with start(project) as schedules:
        schedules.wait_for_start()
        schedules.drop("one.txt")
        schedules.wait_for(lambda: is_held(project))
        (container,) = engine.containers.values()
        holder = find_holder(project)
        schedules.process.send_signal(signal.SIGTERM)
        assert schedules.process.wait(PATIENCE) == 0
        assert (container.status, list_statuses(project)) == ("running", ["STARTED"])

    with start(project) as schedules:
        schedules.wait_for_start()
        schedules.wait_for(lambda: list_statuses(project) == ["SUCCESS"])

    assert holder
    assert (holder.schedule, holder.command) == ("quick", "kedro run --pipelines data --env test")
    (record,), (run,) = list_dagster_runs(project), list_mlflow_runs(project)
    assert run.info.status == "FINISHED"
    assert run.data.tags["cycle"] == record.dagster_run.tags[CYCLE_TAG]
    assert "marked as failed" not in schedules.said.read_text()


def test_stopping_a_container_is_ctrl_c_for_its_run(engine: Engine) -> None:
    project = engine.workdir
    assert project
    with start(project) as schedules:
        schedules.wait_for_start()
        schedules.drop("one.txt")
        schedules.wait_for(lambda: is_held(project) and len(list_mlflow_runs(project)) == 1)
        with dg.DagsterInstance.from_config(str(project / ".dagster")) as instance:
            assert instance.run_launcher.terminate(list_dagster_runs(project)[0].dagster_run.run_id)
        schedules.wait_for(lambda: list_statuses(project) == ["CANCELED"])

    (run,) = list_mlflow_runs(project)
    assert run.info.status == "KILLED"
    assert not is_held(project)


def test_a_container_that_was_killed_is_noticed(engine: Engine) -> None:
    project = engine.workdir
    assert project
    with start(project) as schedules:
        schedules.wait_for_start()
        schedules.drop("one.txt")
        schedules.wait_for(lambda: is_held(project))
        (container,) = engine.containers.values()
        assert container.process
        os.killpg(container.process.pid, signal.SIGKILL)
        schedules.wait_for(lambda: list_statuses(project) == ["FAILURE"], 240)
        deadline = time.monotonic() + PATIENCE
        while is_held(project) and time.monotonic() < deadline:
            time.sleep(0.1)
        schedules.drop("two.txt")
        schedules.wait_for(lambda: list_statuses(project) == ["FAILURE", "SUCCESS"])
