"""What an image gets of the project, and that its Dockerfile asks for no more and no less."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from docker.utils import exclude_paths

PROJECT = Path(__file__).parents[2]
DOCKERFILE = (PROJECT / "deploy/Dockerfile").read_text()
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
