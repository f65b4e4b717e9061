"""The shipped instances of Dagster: Dagster accepts them, and what their launchers ask for is what deploy/ has."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._serdes import serialize_value
from dagster_postgres import DagsterPostgresStorage

from minigpt_pipeline.scheduling.home import INSTANCES, Home
from minigpt_pipeline.scheduling.housekeeping import end, find_variables, opening, sweep
from minigpt_pipeline.scheduling.schedule_settings import SchedulesError, check_settings
from tests.scheduling.conftest import VALUES
from tests.scheduling.engines import Cluster, Engine, serving

PROJECT = Path(__file__).parents[2]
FOLDER = "/srv/minigpt-pipeline"
VARIABLES = {
    "DAGSTER_POSTGRES_URL": "postgresql+psycopg2://minigpt:of-the-database@127.0.0.1:1/dagster",
    "MINIGPT_IMAGE": "registry.example/minigpt-pipeline:1",
    "MINIGPT_NAMESPACE": "minigpt",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@contextmanager
def launching(
    name: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[dg.DagsterInstance, Any]]:
    """An instance as shipped, but that its runs are kept in SQLite, and what it asks."""
    backend = Engine() if name == "docker" else Cluster()
    with ExitStack() as stack:
        address = stack.enter_context(serving(backend))
        home.configure(name)
        file = home.folder / "dagster.yaml"
        configuration = yaml.safe_load(file.read_text())
        del configuration["storage"]
        if name == "docker":
            monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
        else:
            access = home.folder / "kubeconfig"
            access.write_text(yaml.safe_dump(make_access(f"http://{address}")))
            configuration["run_launcher"]["config"] |= {
                "load_incluster_config": False,
                "kubeconfig_file": str(access),
            }
        file.write_text(yaml.safe_dump(configuration))
        yield stack.enter_context(opening(home, name)), backend


def make_access(address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": address}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    pointer = ModuleCodePointer("minigpt_pipeline.scheduling.code_location", "", FOLDER)
    origin = RepositoryPythonOrigin(f"{FOLDER}/.venv/bin/python", pointer, entry_point=["dagster"])
    run = dg.DagsterRun("nightly", status=status, job_code_origin=JobPythonOrigin("nightly", origin))
    return instance.add_run(run)


def launch(instance: dg.DagsterInstance) -> dg.DagsterRun:
    run = add_run(instance, dg.DagsterRunStatus.STARTED)
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    return run


@pytest.mark.parametrize("name", INSTANCES)
def test_dagster_accepts_each_instance(home: Home, name: str) -> None:
    home.configure(name)

    ref = InstanceRef.from_dir(str(home.folder))

    configuration = yaml.safe_load((home.folder / "dagster.yaml").read_text())
    assert configuration.keys() >= {"telemetry", "concurrency", "retention"}
    assert set(find_variables(configuration)) <= set(VARIABLES)
    assert "of-the-database" not in serialize_value(ref)  # it stands in the command of a run
    if name == "local":
        assert ref.storage.__class__.__module__.startswith("dagster._core.storage")
    else:
        storage = configuration["storage"]["postgres"]
        assert process_config(DagsterPostgresStorage.config_type(), storage).value == {
            "postgres_url": VARIABLES["DAGSTER_POSTGRES_URL"],
            "should_autocreate_tables": True,
        }


def test_a_run_in_docker_is_a_container_with_the_project_and_no_rights(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with launching("docker", home, monkeypatch) as (instance, engine):
        run = launch(instance)

    (container,) = engine.containers.values()
    asked, host = container.asked, container.asked["HostConfig"]
    assert container.status != "created"
    assert asked["Image"] == VARIABLES["MINIGPT_IMAGE"]
    assert asked["Cmd"][:3] == ["dagster", "api", "execute_run"]
    assert run.run_id in asked["Cmd"][3]
    passed_on = ("DAGSTER_POSTGRES_URL", "MLFLOW_TRACKING_URI")
    expected = {name: VARIABLES[name] for name in passed_on} | {"DAGSTER_RUN_JOB_NAME": "nightly"}
    assert dict(variable.split("=", 1) for variable in asked["Env"]) == expected
    assert asked["Hostname"] == "minigpt-run"
    assert (host["NetworkMode"], host["AutoRemove"], host["Init"]) == ("minigpt", True, True)
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    assert host["Binds"] == [f"minigpt_data:{FOLDER}/data", f"minigpt_dagster:{FOLDER}/.dagster"]


def test_a_run_in_kubernetes_is_a_job_with_the_project_and_no_rights(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kubernetes_validate

    with launching("kubernetes", home, monkeypatch) as (instance, cluster):
        run = launch(instance)

    job = cluster.jobs[f"dagster-run-{run.run_id}"]
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    # MLflow's policy lets such pods in.
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "minigpt"
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == VARIABLES["MINIGPT_IMAGE"]
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert run.run_id in container["args"][3]
    mounts = {mount["mountPath"]: mount.get("subPath") for mount in container["volumeMounts"]}
    assert mounts == {f"{FOLDER}/data": "data", f"{FOLDER}/.dagster": "dagster", "/tmp": None}
    assert [source[key]["name"] for source in container["envFrom"] for key in source] == [
        "minigpt",
        "minigpt-dagster",
    ]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("minigpt-run", False)
    assert pod["terminationGracePeriodSeconds"] > 60
    assert (pod["securityContext"]["runAsNonRoot"], pod["enableServiceLinks"]) == (True, False)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert (job["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")


@pytest.mark.parametrize("name", ["docker", "kubernetes"])
def test_runs_elsewhere_are_neither_swept_nor_ended_with_the_schedules_but_asked_after(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with launching(name, home, monkeypatch) as (instance, backend):
        run, starting = launch(instance), add_run(instance, dg.DagsterRunStatus.STARTING)

        assert sweep(instance) == 0
        end(home)

        statuses = {kept.run_id: kept.status.value for kept in instance.get_runs()}
        assert statuses == {run.run_id: "STARTED", starting.run_id: "STARTING"}
        assert instance.run_monitoring_enabled
        if name == "docker":
            (container,) = backend.containers.values()
            container.process.wait()  # and is removed
        else:
            assert instance.run_launcher.check_run_worker_health(run).status.value == "RUNNING"
            backend.status = {"failed": 1}
        known = instance.get_run_by_id(run.run_id)
        assert known
        health = instance.run_launcher.check_run_worker_health(known)
        assert health.status.value == ("NOT_FOUND" if name == "docker" else "FAILED")


def test_a_file_of_the_project_adds_to_the_configuration(home: Home) -> None:
    (home.project / "own.yaml").write_text("run_monitoring: {enabled: true}\n")

    home.configure("own.yaml")

    configuration = yaml.safe_load((home.folder / "dagster.yaml").read_text())
    assert configuration["run_monitoring"] == {"enabled": True}
    assert configuration["telemetry"] == {"enabled": False}
    assert check_settings(
        VALUES | {"schedules": {}, "new_data": NO_DATA, "instance": "own.yaml"}, home.project
    )
    with pytest.raises(
        SchedulesError, match=r"^instance=dokcer: there is no such instance of Dagster, only local, "
    ):
        check_settings(VALUES | {"instance": "dokcer"}, PROJECT)


NO_DATA = {**VALUES["new_data"], "schedule": None}


def test_what_the_environment_lacks_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIGPT_IMAGE")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    home.configure("docker")

    message = r"^instance=docker: the environment has no MINIGPT_IMAGE and no MLFLOW_TRACKING_URI: set it"
    with pytest.raises(SchedulesError, match=message), opening(home, "docker"):
        pass


def test_a_cluster_that_is_none_is_one_message(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.configure("kubernetes")
    file = home.folder / "dagster.yaml"
    configuration = yaml.safe_load(file.read_text())
    del configuration["storage"]
    file.write_text(yaml.safe_dump(configuration))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with (
        pytest.raises(
            SchedulesError, match=r"^instance=kubernetes: Dagster can't work with it: Service host/port"
        ),
        opening(home, "kubernetes"),
    ):
        pass
