"""Dagster's processes live for months: what they take over many ticks, and what those leave behind.

`MINIGPT_SOAK_MINUTES=60` goes on for an hour, and `MINIGPT_SOAK_FILE` names where each look is written.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from minigpt_pipeline.scheduling.definitions import UNFINISHED
from tests.scheduling.test_schedules_at_work import (
    QUICK,
    at_work,
    configure,
    list_dagster_runs,
    measure_memory,
)

MINUTES = float(os.environ.get("MINIGPT_SOAK_MINUTES", "4"))
WARM_UP = 60.0
"""Seconds in which caches fill."""
BETWEEN_LOOKS = 10.0
EVERY_MINUTE = {**QUICK, "cron": "* * * * *", "pipeline": "monitoring", "enabled": True}


def look(project: Path, processes: list[psutil.Process]) -> dict[str, Any]:
    sizes = []
    for path in (project / ".dagster").rglob("*"):
        with suppress(FileNotFoundError):  # SQLite removes what it writes ahead to
            sizes += [path.stat().st_size] if path.is_file() else []
    return {
        "memory": measure_memory(processes),
        "open_files": sum(process.num_fds() for process in processes),
        "bytes": sum(sizes),
        "files": len(sizes),
    }


@pytest.mark.full
@pytest.mark.timeout(60 * MINUTES + 400)
@pytest.mark.skipif(sys.platform != "linux", reason="memory that processes share is told on Linux alone")
def test_schedules_take_no_more_memory_and_no_more_files_with_every_tick(
    make_project: Callable[[str], Path],
) -> None:
    project = make_project("many_ticks")
    configure(
        project,
        schedules={"quick": EVERY_MINUTE},
        new_data={"schedule": "quick", "look_every": 1, "quiet": 0},
    )
    looks: list[dict[str, Any]] = []
    with at_work(project) as schedules:
        schedules.wait_for(lambda: "The schedules are at work" in schedules.said.read_text(), 300)
        started = time.monotonic()
        processes = schedules.list_processes()
        while time.monotonic() < started + WARM_UP + 60 * MINUTES:
            time.sleep(BETWEEN_LOOKS)
            # Those that stay: a run has processes of its own, which end.
            looks.append({"second": time.monotonic() - started} | look(project, processes))
        runs = [record.dagster_run for record in list_dagster_runs(project)]
    with dg.DagsterInstance.from_config(str(project / ".dagster")) as instance:
        ticks = sum(
            len(instance.get_ticks(state.instigator_origin_id, state.selector_id))
            for state in instance.all_instigator_state()
        )
    if file := os.environ.get("MINIGPT_SOAK_FILE"):
        Path(file).write_text(json.dumps({"looks": looks, "runs": len(runs), "ticks": ticks}))

    ended = [run for run in runs if run.status not in UNFINISHED]
    assert len(ended) >= MINUTES - 1
    assert {run.status for run in ended} == {dg.DagsterRunStatus.SUCCESS}
    warm = [each for each in looks if each["second"] > WARM_UP]
    half = len(warm) // 2
    first, last = warm[:half], warm[half:]
    assert max(each["open_files"] for each in last) <= max(each["open_files"] for each in first) + 5
    assert max(each["memory"] for each in last) < 1.1 * max(each["memory"] for each in first)
