"""The project as somebody who has just cloned it has it."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.console import Terminal

PROJECT = Path(__file__).parents[2]
NOT_IN_A_CLONE = (
    ".git",
    ".venv",
    "data",
    "mlflow.db*",
    "mlartifacts",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in a copy of the project that is installed and in which nothing has run."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns(*NOT_IN_A_CLONE))
    (project / "data/01_raw/incoming").mkdir(parents=True)
    shutil.copy(PROJECT / "data/01_raw/sample_reviews.tar.gz", project / "data/01_raw")
    # An environment of its own with the packages of the one that runs the tests.
    (project / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        (project / ".venv" / path.name).symlink_to(path)
    installed = project / ".venv/installed"
    installed.unlink(missing_ok=True)
    installed.touch()
    terminal = Terminal(project)
    yield terminal
    terminal.interrupt()
