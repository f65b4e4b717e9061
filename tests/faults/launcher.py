"""Runs that begin in a moment: see `zygote`."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE = 240.0
"""Seconds in which every run of these tests ends, on a busy machine too."""

Fault = Mapping[str, Any]


class Launched:
    """A run that was begun.

    Args:
        process: Of the zygote.
        process_id: Of the run, and of its group.
        folder: Where it says what it says.
    """

    def __init__(self, process: subprocess.Popen[bytes], process_id: int, folder: Path) -> None:
        self._process, self.process_id, self._folder = process, process_id, folder
        self._status: int | None = None

    @property
    def output(self) -> str:
        return (self._folder / "stdout").read_text()

    @property
    def said(self) -> str:
        return (self._folder / "stderr").read_text()

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """Return the exit code, negative where a signal has ended it; null where it has not ended in time."""
        if self._status is None and select.select([self._process.stdout], [], [], max(seconds, 0))[0]:
            self._status = int(read_answer(self._process, "status"))
        return self._status

    def send(self, number: int) -> None:
        os.kill(self.process_id, number)

    def kill(self) -> int:
        """Kill it with all that it has begun, and return how it has ended: it may have come before."""
        with suppress(ProcessLookupError):
            os.killpg(self.process_id, signal.SIGKILL)
        status = self.wait()
        assert status is not None
        return status


class Launcher:
    """Begins one run at a time in a process that has loaded what runs load.

    Args:
        process: The zygote.
        folder: Where runs say what they say.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder = process, folder
        self._last: Launched | None = None

    def start(
        self, project: Path, *arguments: str, faults: Sequence[Fault] = (), **environment: str
    ) -> Launched:
        if self._last and self._last.wait(0) is None:  # a test has given up
            self._last.kill()
        request = {
            "project": str(project),
            "arguments": ["--env", "test", *arguments],
            "environment": environment,
            "faults": list(faults),
        }
        files = {name: str(self._folder / name) for name in ("stdout", "stderr")}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request | files).encode() + b"\n")
        self._process.stdin.flush()
        self._last = Launched(self._process, int(read_answer(self._process, "pid")), self._folder)
        return self._last

    def run(self, project: Path, *arguments: str, **environment: str) -> Launched:
        """Run to the end, which is a good one."""
        run = self.start(project, *arguments, **environment)
        assert run.wait() == 0, run.said
        return run

    def count_events(self, project: Path, *arguments: str) -> tuple[int, float]:
        """Run to the end, and return how many events it came by, and in how many seconds."""
        counted, started = self._folder / "count", time.monotonic()
        run = self.start(project, *arguments, faults=[{"count": str(counted)}])
        assert run.wait() == 0, run.said
        return int(counted.read_text()), time.monotonic() - started


def read_answer(process: subprocess.Popen[bytes], kind: str) -> str:
    assert process.stdout is not None
    found, _, answer = process.stdout.readline().decode().strip().partition(" ")
    assert found == kind, f"the zygote has ended: {process.poll()}"
    return answer


@contextmanager
def launching(folder: Path) -> Iterator[Launcher]:
    """Give a launcher, for as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.zygote"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    try:
        read_answer(process, "ready")
        yield Launcher(process, folder)
    finally:
        process.stdin.close()
        process.wait(PATIENCE)
