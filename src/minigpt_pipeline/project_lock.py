"""One `kedro run` at a time in a project, and who it is.

The system frees the lock when the process that holds it ends, however it does. The note beside it says who that is; it
counts only while the lock is held.
"""

import json
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from minigpt_pipeline.files import replacing

LOCK = Path("data/.project.lock")
NOTE = Path("data/.project.holder.json")

SCHEDULE_VARIABLE = "MINIGPT_SCHEDULE"
"""Names, in the environment of a process, the schedule that has started it."""

GLANCE = 0.5
"""Seconds in which a lock counts as free that is free at any moment of them: others look at it for an instant."""
PAUSE = 0.05
"""Seconds between two attempts."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock.

    Args:
        host: Of the process; a container is one of its own.
        pid: The process there.
        command: As it was typed.
        environment: Of the configuration.
        since: When it took the lock, ISO 8601 with the zone.
        schedule: The schedule that started it; null where a person did.
    """

    host: str
    pid: int
    command: str
    environment: str
    since: str
    schedule: str | None = None

    def __str__(self) -> str:
        """Return what a person wants to know of it."""
        since = f"{datetime.fromisoformat(self.since).astimezone():%Y-%m-%d %H:%M}"
        schedule = f", of schedule {self.schedule}" if self.schedule else ""
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"`{self.command}` (process {self.pid}{where}, since {since}{schedule})"


class ProjectLockedError(RuntimeError):
    """Another `kedro run` is at work in the project.

    Args:
        holder: Which; null where that could not be read.
    """

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(
            f"{holder or 'Another `kedro run`'} is at work in this project, and nothing was changed: wait for its end, "
            "or end it with Ctrl-C; with --wait this command begins when it has ended"
        )
        self.holder = holder


@contextmanager
def holding(
    project: Path,
    arguments: Sequence[str],
    environment: str,
    wait: Callable[[Holder | None], object] | None = None,
) -> Iterator[None]:
    """Keep every other `kedro run` out of a project until the block ends.

    Args:
        project: Its root.
        arguments: Of the `kedro run` that takes the lock.
        environment: Of the configuration.
        wait: Told once who holds the lock, where it is to be waited for; null means that it is not.

    Raises:
        ProjectLockedError: If it is held, and not waited for.
    """
    lock = _lock(project)
    try:
        lock.acquire(timeout=GLANCE, poll_interval=PAUSE)
    except Timeout as error:
        holder = find_holder(project)
        if wait is None:
            raise ProjectLockedError(holder) from error
        wait(holder)
        lock.acquire(poll_interval=PAUSE)
    try:
        command = shlex.join(["kedro", "run", *arguments])
        schedule = os.environ.get(SCHEDULE_VARIABLE) or None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        with replacing(project / NOTE) as partial:
            holder = Holder(socket.gethostname(), os.getpid(), command, environment, since, schedule)
            partial.write_text(json.dumps(asdict(holder)), encoding="utf-8")
        yield
    finally:
        (project / NOTE).unlink(missing_ok=True)
        lock.release()


def is_held(project: Path) -> bool:
    """Return whether somebody holds the lock; nothing is made where there is none."""
    if not (project / LOCK).exists():
        return False
    lock = _lock(project)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def find_holder(project: Path) -> Holder | None:
    """Return what the note says; null where none was written in a moment.

    Ask it only of a lock that is held: who was killed leaves a note, until the next holder has written its own.
    """
    import psutil

    deadline = time.monotonic() + GLANCE
    while time.monotonic() < deadline:
        try:
            holder = Holder(**json.loads((project / NOTE).read_text(encoding="utf-8")))
        except (FileNotFoundError, TypeError):  # none, or one of another version
            holder = None
        if holder and (holder.host != socket.gethostname() or psutil.pid_exists(holder.pid)):
            return holder
        time.sleep(PAUSE)
    return None


def _lock(project: Path) -> FileLock:
    path = project / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)
