"""What an image gets of the project, what its Dockerfile asks for, and, with an engine, that the image works.

`MINIGPT_ENGINE=docker pytest tests/deploy/test_image.py` builds it; with MINIGPT_IMAGE one that is built is tried.
"""

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.utils import exclude_paths

PROJECT = Path(__file__).parents[2]
DOCKERFILE = (PROJECT / "deploy/Dockerfile").read_text()
ENGINE = shlex.split(os.environ.get("MINIGPT_ENGINE", ""))
IGNORED = (PROJECT / ".dockerignore").read_text().splitlines()


def read_steps() -> list[tuple[str, list[str]]]:
    """The instructions in their order, each with its words."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0], shlex.split(line)[1:]) for line in joined.splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project as somebody works in it."""
    for name in (
        ".env",
        ".git/config",
        ".venv/bin/python",
        "conf/base/globals.yml",
        "conf/local/.gitkeep",
        "conf/local/credentials.yml",
        "data/01_raw/aclImdb_v1.tar.gz",
        "data/01_raw/incoming/.gitkeep",
        "data/01_raw/incoming/new.txt",
        "data/01_raw/sample_reviews.tar.gz",
        "data/01_raw/served/2026-11-26.jsonl",
        "data/06_models/trained_model.keras",
        "deploy/.env",
        "mlflow.db",
        "pyproject.toml",
        "src/minigpt_pipeline/__init__.py",
        "src/minigpt_pipeline/__pycache__/cli.cpython-311.pyc",
        "src/minigpt_pipeline.egg-info/PKG-INFO",
        "tests/conftest.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_an_image_gets_neither_data_nor_secrets_nor_history(checkout: Path) -> None:
    sent = exclude_paths(str(checkout), IGNORED)

    assert {path for path in sent if (checkout / path).is_file()} == {
        "conf/base/globals.yml",
        "conf/local/.gitkeep",
        "data/01_raw/incoming/.gitkeep",
        "data/01_raw/sample_reviews.tar.gz",
        "pyproject.toml",
        "src/minigpt_pipeline/__init__.py",
    }


def test_what_is_copied_is_there() -> None:
    sent = exclude_paths(str(PROJECT), IGNORED)
    copied = [
        source
        for name, words in read_steps()
        if name == "COPY" and not any(word.startswith("--from") for word in words)
        for source in [word for word in words if not word.startswith("--")][:-1]
    ]

    assert {source for source in copied if source not in sent} == set()
    assert {"requirements.lock", "pyproject.toml", "conf", "src", "data"} <= set(copied)


def test_every_package_has_its_hash_checked_and_roles_get_no_tools_of_development() -> None:
    commands = [" ".join(words) for name, words in read_steps() if name == "RUN"]
    installs = [command for command in commands if "pip" in command]
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert ["--require-hashes" in command or "--no-index" in command for command in installs] == [True, True]
    (wanted,) = re.findall(r"\.\[([\w,]+)\]", installs[1])
    assert set(wanted.split(",")) == {"cluster", "schedule"} <= set(extras)


def test_nobody_is_root_and_a_training_hears_the_end() -> None:
    last = dict(read_steps())

    assert last["USER"] == ["1000:1000"]
    assert last["STOPSIGNAL"] == ["SIGINT"]
    assert re.findall(r"https?://|index-url", DOCKERFILE) == []


@pytest.fixture(scope="module")
def in_container() -> Iterator[Callable[[str], str]]:
    """Run a command in a container as deployments do; what it writes stays in one volume until the end."""
    if not ENGINE:
        pytest.skip("no engine is named that makes images: MINIGPT_ENGINE=docker")
    if not (image := os.environ.get("MINIGPT_IMAGE")):
        image = "minigpt-pipeline-test"
        build = [*ENGINE, "build", "--file", "deploy/Dockerfile", "--tag", image, "."]
        subprocess.run(build, cwd=PROJECT, check=True)
    volume = "minigpt_test"
    closed = [
        "--rm",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
    ]
    mount = ["--volume", f"{volume}:/srv/minigpt-pipeline/data"]

    def run(script: str) -> str:
        command = [*ENGINE, "run", *closed, *mount, image, "sh", "-ec", script]
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert result.returncode == 0, result.stdout
        return result.stdout

    yield run
    subprocess.run([*ENGINE, "volume", "rm", volume], check=True, capture_output=True)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_container_runs_every_role_as_nobody_who_could_change_the_code(
    in_container: Callable[[str], str],
) -> None:
    who = in_container(
        "id -u; for path in . src conf .venv; do test ! -w $path; done; ! python -c 'import ruff' 2>&1"
    )
    assert who.splitlines()[0] == "1000"
    assert "No module named 'ruff'" in who
    assert "- ingestion" in in_container("kedro registry list")
    for module in ("scheduling", "serving"):
        assert "--host" in in_container(f"python -m minigpt_pipeline.{module} --help")
    assert "--allowed-hosts" in in_container("mlflow server --help")
    for extra in ("boto3", "psycopg2", "dagster_docker", "dagster_k8s", "dagster_postgres"):
        in_container(f"python -c 'import {extra}'")

    said = in_container("kedro run --env test")

    assert "sqlite:////srv/minigpt-pipeline/data/mlflow.db" in said
    kept = in_container("ls data data/test/06_models data/mlartifacts; python -m minigpt_pipeline.doctor")
    assert {"mlflow.db", "trained_model.keras"} <= set(kept.split())
