"""A disk that is really full, and one that can really not be written to: a small file system of its own."""

import logging
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.checks import check_end, check_whole, list_runs
from tests.faults.stages import ARGUMENTS, SEED, Stages
from tests.faults.test_matrix import OUTCOMES, read_message

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

BLOCK = 4096
LARGE = 1 << 30
"""Bytes: more than a project of these tests takes."""


def mount(folder: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"file systems can't be mounted here: {result.stderr.strip()}")


@contextmanager
def disk_with(project: Path, before: Path) -> Iterator[None]:
    """Let a project lie on a file system of its own."""
    mount(project, f"size={LARGE}")
    try:
        shutil.copytree(before, project, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(project)], check=True)


def measure(folder: Path) -> int:
    return sum(BLOCK * -(-path.stat().st_size // BLOCK) for path in folder.rglob("*"))


@pytest.mark.parametrize("pipeline", ARGUMENTS)
def test_a_disk_that_fills_up(
    stages: Stages, pipeline: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("fault", f"{pipeline}, tmpfs full")
    stage, draw = stages.put_back(pipeline), random.Random(f"{SEED} {pipeline}")
    room = BLOCK * draw.randrange(1, max(2, (measure(stage.after) - measure(stage.before)) // BLOCK))
    with disk_with(stages.project, stage.before):
        used = shutil.disk_usage(stages.project).used
        mount(stages.project, f"remount,size={used + room}")
        logger.warning("%s has room for %d bytes", pipeline, room)

        run = stages.launcher.start(stages.project, *stage.arguments)

        code = run.wait()
        assert "Traceback" not in run.said, run.said
        if code:
            assert code == 1, run.said
            (message,) = read_message(run.said)
            assert re.match(OUTCOMES["full"].message, message)
        check_whole(stages.project, stage)
        mount(stages.project, f"remount,size={LARGE}")
        runs = list_runs(stages.project)
        stages.launcher.run(stages.project, *stage.arguments)
        check_end(stages.project, stage, {run.run_id: run.status for run in runs})


@pytest.mark.parametrize("pipeline", ARGUMENTS)
def test_a_disk_that_can_t_be_written_to(
    stages: Stages, pipeline: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("fault", f"{pipeline}, tmpfs read-only")
    stage = stages.put_back(pipeline)
    with disk_with(stages.project, stage.before):
        mount(stages.project, "remount,ro")

        run = stages.launcher.start(stages.project, *stage.arguments)

        assert run.wait() == 1, run.said
        (message,) = read_message(run.said)
        assert re.search(r"can't be written \(Read-only file system\)|readonly|unable to open", message)
        check_whole(stages.project, stage)
        mount(stages.project, "remount,rw")
        stages.launcher.run(stages.project, *stage.arguments)
        check_end(stages.project, stage, {run.run_id: run.status for run in list_runs(stages.project)})
