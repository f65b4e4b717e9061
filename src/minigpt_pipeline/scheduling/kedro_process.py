"""A `kedro run` as a child process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from minigpt_pipeline.processes import describe_process
from minigpt_pipeline.project_folder import PACKAGE, is_checkout

TIED = Path(__file__).with_name("tied.py")
PAUSE = 0.2
"""Seconds between two looks at it."""
PATIENCE = 60.0
"""Seconds that it may take to end behind Ctrl-C; a checkpoint is on disk before."""
LAST_LINES = 20
"""Of what it said, where its end is no message."""

LineSink = Callable[[str], object]


def tie(command: Sequence[str], number: signal.Signals) -> list[str]:
    """Return a command that gets a signal when this process ends."""
    return [sys.executable, "-I", str(TIED), str(int(number)), str(os.getpid()), *command]


class KedroProcess:
    """A child that is a process group of its own, so that Ctrl-C in a terminal is passed on by who started it.

    Args:
        arguments: Behind `kedro run`.
        project: Where it works.
        variables: Of its environment, beside those of this process.
        log: A file for what it says.
    """

    def __init__(
        self, arguments: Sequence[str], project: Path, variables: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        named = ["kedro", "run"] if is_checkout(project) else [PACKAGE]
        command = tie([sys.executable, "-m", *named, *arguments], signal.SIGINT)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=project,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._parent = os.getppid()
        self.description = describe_process(self._process.pid)

    @property
    def is_abandoned(self) -> bool:
        """Whether who started this process, and looks after it, was killed."""
        return os.getppid() != self._parent

    def follow(self, say: LineSink) -> int:
        """Wait for its end.

        Args:
            say: Told each line while it is written.

        Returns:
            The exit code, negative for the signal that killed it. If this process is interrupted, or its own parent
            is killed, the child is interrupted, too, and has ended.
        """
        lines = self._read_lines()
        try:
            while (code := self._process.poll()) is None:
                for line in lines:
                    if line is None:
                        break
                    say(line)
                if self.is_abandoned:
                    return self.interrupt()
                time.sleep(PAUSE)
        except BaseException:
            self.interrupt()
            raise
        for line in lines:
            if line is None:
                break
            say(line)
        return code

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code; a child that does not end is killed."""
        for number, patience in ((signal.SIGINT, PATIENCE), (signal.SIGKILL, None)):
            if self._process.poll() is not None:
                break
            os.killpg(self._process.pid, number)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        return self._process.wait()

    def describe_end(self) -> str:
        """Return its error message; where it told none, its last lines."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        begins = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
        return "\n".join(lines[begins[-1] if begins else -LAST_LINES :]).removeprefix("Error: ")

    def _read_lines(self) -> Iterator[str | None]:
        """Yield each whole line, and null where there is none yet."""
        with self.log.open(encoding="utf-8", errors="replace") as log:
            rest = ""
            while True:
                rest += log.readline()
                if rest.endswith("\n"):
                    yield rest.rstrip()
                    rest = ""
                elif self._process.poll() is not None and rest:
                    yield rest
                    rest = ""
                else:
                    yield None
