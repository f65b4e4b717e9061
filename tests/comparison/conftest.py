"""Runs written by hand."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from minigpt_pipeline.comparison.model_run import ComparedRuns, ModelRun, RunSummary

STARTED = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


@pytest.fixture
def make_run() -> Callable[..., ModelRun]:
    """A finished run; each has another id, which begins with its number."""
    numbers = iter(range(1, 100))

    def make(name: str = "a run", status: str = "FINISHED", **content: Any) -> ModelRun:
        return ModelRun(RunSummary(f"{next(numbers):08x}{'0' * 24}", name, status, STARTED), **content)

    return make


@pytest.fixture
def make_sample() -> Callable[..., dict[str, Any]]:
    """A row of the table of texts."""

    def make(**content: Any) -> dict[str, Any]:
        settings = {"temperature": 1.0, "top_k": 10, "top_p": None}
        return {"epoch": 1, "prompt": "the", "sample": 0, "text": "the end", "seed": 0} | settings | content

    return make


@pytest.fixture
def compare() -> Callable[..., ComparedRuns]:
    """The runs of a page."""

    def make(*runs: ModelRun) -> ComparedRuns:
        return ComparedRuns(runs, "sqlite:///mlflow.db", STARTED)

    return make
