"""A project whose schedules run what each test says, and its Dagster."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from minigpt_pipeline.scheduling import kedro_process
from minigpt_pipeline.scheduling.home import Home
from minigpt_pipeline.scheduling.schedule_settings import ScheduleSettings

NIGHTLY = {
    "cron": "0 3 * * *",
    "timezone": "UTC",
    "pipeline": "data",
    "environment": "test",
    "retries": 0,
    "retry_delay": 0.01,
    "enabled": True,
}
VALUES = {
    "instance": "local",
    "schedules": {"nightly": NIGHTLY},
    "new_data": {"folder": "data/01_raw/incoming", "schedule": "nightly", "look_every": 30, "quiet": 0},
    "notification": {"timeout": 5, "attempts": 3},
}


def make_settings(notification: dict[str, Any] | None = None, **nightly: Any) -> ScheduleSettings:
    """The settings above, with changes."""
    values = {**VALUES, "schedules": {"nightly": {**NIGHTLY, **nightly}}}
    return ScheduleSettings(**values | {"notification": {**VALUES["notification"], **(notification or {})}})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    home.configure("local")
    return home


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home.folder)) as instance:
        yield instance


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a program of a test stand in for `kedro run`."""

    def put(code: str) -> None:
        def start(arguments: list[str], *rest: Any) -> kedro_process.KedroProcess:
            with pytest.MonkeyPatch.context() as patched:
                tie = kedro_process.tie
                command = [sys.executable, "-c", code, *arguments]
                patched.setattr(kedro_process, "tie", lambda _, number: tie(command, number))
                return kedro_process.KedroProcess(arguments, *rest)

        monkeypatch.setattr("minigpt_pipeline.scheduling.definitions.KedroProcess", start)

    return put
