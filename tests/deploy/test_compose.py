"""deploy/compose.yml: what it names is there, agrees with the containers of runs, and is open to nobody else."""

import json
import os
import re
import shlex
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mlflow.cli import server

from minigpt_pipeline.cli import run
from minigpt_pipeline.scheduling import __main__ as scheduling
from minigpt_pipeline.scheduling.home import Home
from minigpt_pipeline.scheduling.housekeeping import find_variables
from minigpt_pipeline.serving import __main__ as serving

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "MINIGPT_IMAGE" in service["image"]]
VARIABLES = {
    name: value
    for name, _, value in (
        line.partition("=")
        for line in (DEPLOY / ".env.example").read_text().splitlines()
        if line[:1].isalpha()
    )
}


@pytest.fixture
def launcher(tmp_path: Path) -> dict[str, Any]:
    """How the schedules ask for containers of runs."""
    (tmp_path / ".dagster").mkdir()
    Home(tmp_path).configure("docker")
    configuration = yaml.safe_load((tmp_path / ".dagster/dagster.yaml").read_text())
    return dict(configuration["run_launcher"]["config"])


def command_of(name: str) -> list[str]:
    command = SERVICES[name]["command"]
    return shlex.split(command) if isinstance(command, str) else command


def test_what_it_names_is_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            is_ours = source.startswith("./")
            assert (
                (DEPLOY / source).exists()
                if is_ours
                else source in {*COMPOSE["volumes"], "/var/run/docker.sock"}
            )
        for needed, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert SERVICES[needed]["healthcheck"]["test"][0] == "CMD"


def test_this_machine_alone_reaches_it_and_ours_have_no_rights() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert sorted(published) == [f"127.0.0.1:{port}:{port}" for port in (3000, 5000, 8000)]
    assert OURS == ["bucket", "mlflow", "schedules", "serving", "run"]
    for name in OURS:
        service = SERVICES[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
    with_socket = [name for name, service in SERVICES.items() if "docker.sock" in str(service.get("volumes"))]
    assert with_socket == ["schedules"]


def test_secrets_come_from_the_environment_and_the_example_has_none() -> None:
    asked = set(re.findall(r"\$\{(\w+)", TEXT))

    assert asked == set(VARIABLES)
    assert {name: value for name, value in VARIABLES.items() if value} == {
        "MINIGPT_IMAGE": "minigpt-pipeline"
    }
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert required == {"POSTGRES_PASSWORD", "S3_SECRET_KEY", "DOCKER_GROUP", "MINIGPT_SERVING_KEY"}


def test_containers_of_runs_have_volumes_network_and_store_of_the_deployment(
    launcher: dict[str, Any],
) -> None:
    schedules = SERVICES["schedules"]
    names = {volume["name"]: key for key, volume in COMPOSE["volumes"].items() if volume}
    mounts = dict(volume.split(":") for volume in launcher["container_kwargs"]["volumes"])

    assert launcher["network"] == COMPOSE["networks"]["minigpt"]["name"]
    assert {f"{names[name]}:{path}" for name, path in mounts.items()} <= set(schedules["volumes"])
    assert set(find_variables(launcher)) <= set(schedules["environment"])
    assert schedules["environment"]["MINIGPT_INSTANCE"] == "docker"
    assert schedules["environment"]["DAGSTER_POSTGRES_URL"].endswith("@postgres:5432/dagster")
    assert "CREATE DATABASE dagster;" in (DEPLOY / "databases.sql").read_text()
    assert SERVICES["run"]["hostname"] == launcher["container_kwargs"]["hostname"]


def test_commands_are_those_of_their_programs() -> None:
    program, name, *options = command_of("mlflow")
    assert (program, name) == ("mlflow", "server")
    assert server.make_context("server", options).params["host"] == "0.0.0.0"

    for name, module, further in (("schedules", scheduling, ["--behind-proxy"]), ("serving", serving, [])):
        interpreter, option, called, *options = command_of(name)
        assert (interpreter, option, f"{called}.__main__") == ("python", "-m", module.__name__)
        assert options == ["--host", "0.0.0.0", *further]
        with pytest.raises(SystemExit, match="0"):
            module.main([*options, "--help"])
    compile(command_of("bucket")[2], "bucket", "exec")
    (by_hand,) = re.findall(r"run --rm run kedro run (.*)", TEXT)
    assert run.make_context("run", shlex.split(by_hand)).params["env"] == "sample"


def test_the_specification_of_compose_knows_each_field() -> None:
    schema = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"

    jsonschema.validate(COMPOSE, json.loads(schema.read_text(encoding="utf-8")))


@pytest.mark.full
@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="Docker's compose is not installed",
)
def test_compose_accepts_it() -> None:
    variables = {name: "9" for name, value in VARIABLES.items() if not value}
    command = [
        "docker",
        "compose",
        "--file",
        DEPLOY / "compose.yml",
        "--profile",
        "by-hand",
        "config",
        "--quiet",
    ]

    result = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
