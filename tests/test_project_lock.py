"""One `kedro run` at a time: the other is a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import psutil
import pytest
from filelock import FileLock

from minigpt_pipeline import doctor, project_lock
from minigpt_pipeline.project_lock import (
    LOCK,
    NOTE,
    Holder,
    ProjectLockedError,
    find_holder,
    holding,
    is_held,
)

HOLD = """
from pathlib import Path
from minigpt_pipeline.project_lock import holding
with holding(Path(), ["--pipelines", "retraining", "--env", "sample"], "sample"):
    print("held", flush=True)
    input()
"""
KEDRO_RUN = [sys.executable, "-m", "kedro", "run"]


@contextmanager
def other_run(project: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until the block ends, or it is told to end."""
    command = [sys.executable, "-c", HOLD]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=project, env={**os.environ, **environment}, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_lock_that_another_process_holds_is_refused_with_its_name(tmp_path: Path) -> None:
    with (
        other_run(tmp_path, MINIGPT_SCHEDULE="nightly") as other,
        pytest.raises(ProjectLockedError) as refused,
        holding(tmp_path, [], "base"),
    ):
        pass

    message = str(refused.value)
    assert message.startswith(
        f"`kedro run --pipelines retraining --env sample` (process {other.pid}, since 20"
    )
    assert ", of schedule nightly) is at work in this project, and nothing was changed" in message


def test_a_lock_is_free_behind_its_block_and_behind_a_kill(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with other_run(tmp_path) as other:
        assert is_held(tmp_path)
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert not is_held(tmp_path)
        assert (tmp_path / NOTE).exists()

    with holding(tmp_path, [], "base"):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [LOCK.name]


def test_who_was_killed_is_not_taken_for_who_holds_the_lock(tmp_path: Path) -> None:
    with other_run(tmp_path) as other:
        other.send_signal(signal.SIGKILL)

    assert find_holder(tmp_path) is None


def test_who_holds_it_on_another_host_is_named_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = socket.gethostname()
    with other_run(tmp_path) as other:
        monkeypatch.setattr(socket, "gethostname", lambda: "another")
        monkeypatch.setattr(psutil, "pid_exists", lambda _: False)  # of a container, which has its own

        assert f"(process {other.pid} on {here}, since 20" in str(find_holder(tmp_path))


def test_a_note_of_another_version_says_nothing(tmp_path: Path) -> None:
    with other_run(tmp_path):
        (tmp_path / NOTE).write_text('{"pid": 1}')

        assert find_holder(tmp_path) is None


def test_a_glance_at_the_lock_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_lock, "GLANCE", 60)
    (tmp_path / "data").mkdir()
    looking = Event()

    def look() -> None:
        with FileLock(tmp_path / LOCK):
            looking.set()
            time.sleep(0.2)

    with ThreadPoolExecutor() as threads:
        threads.submit(look)
        looking.wait()
        with holding(tmp_path, [], "base"):
            assert is_held(tmp_path)


def test_waiting_is_told_once_and_ends_with_the_other(tmp_path: Path) -> None:
    told: list[Holder | None] = []
    with other_run(tmp_path) as other:

        def wait(holder: Holder | None) -> None:
            told.append(holder)
            other.communicate("\n")

        with holding(tmp_path, [], "base", wait):
            assert other.returncode == 0

    assert [holder and holder.pid for holder in told] == [other.pid]


def test_the_doctor_says_who_is_at_work(tmp_path: Path) -> None:
    assert list(doctor.check_lock(tmp_path)) == []
    with holding(tmp_path, ["--env", "two words"], "base"):
        (finding,) = doctor.check_lock(tmp_path)

    assert finding.found.startswith("`kedro run --env 'two words'` (process ")


@pytest.mark.slow
def test_a_run_beside_another_ends_at_once_and_changes_nothing(make_project: Callable[[str], Path]) -> None:
    project = make_project("locked")
    with other_run(project) as other:
        before = sorted(project.rglob("*"))
        refused = subprocess.run(
            [*KEDRO_RUN, "--env", "test", "--pipelines", "ingestion"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 75
        assert refused.stdout == ""
        assert refused.stderr.startswith("Error: `kedro run --pipelines retraining --env sample` (process")
        assert len(refused.stderr.splitlines()) == 1
        assert sorted(project.rglob("*")) == before

        compared = subprocess.run(
            [*KEDRO_RUN, "--pipelines", "comparison"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "has no run of a model" in compared.stderr

        waiting = subprocess.Popen(
            [*KEDRO_RUN, "--wait", "--env", "test", "--pipelines", "ingestion"],
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("Waiting: `kedro run --pipelines retraining")
        other.communicate("\n")
        said = waiting.stderr.read()

    assert waiting.wait(timeout=60) == 0, said
    assert "Waiting" not in said
    assert not (project / NOTE).exists()
