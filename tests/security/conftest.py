"""Files as an attacker would make them, each with a payload that leaves a mark where it runs."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt_pipeline.model.saved_model import TrainedModel, load_trained_model, save_trained_model
from tests.made_up_films import KNOWN, expect


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Is there once a payload has run."""
    return tmp_path / "mark"


@pytest.fixture
def pickled(mark: Path) -> bytes:
    return pickle.dumps(Payload(mark))


@pytest.fixture(scope="session")
def honest_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as this project saves it."""
    path = tmp_path_factory.mktemp("honest") / "trained_model.keras"
    save_trained_model(path, expect(KNOWN))
    return path


@pytest.fixture
def honest(honest_file: Path) -> TrainedModel:
    return load_trained_model(honest_file)


def run_unsafely(code: str, *arguments: Path | str) -> str:
    """Do in a process of its own what this project never does, to see that a payload is live."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return ended.stdout + ended.stderr
