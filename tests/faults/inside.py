"""What happens inside a run that is to fail: at an event, or where a node begins to work.

An event is what the files of the project see: an opening to write, a rename, a removal, a new folder, a wait for the
disk, and before and behind each commit of a database. Between two of them nothing can be lost. Runs of the same
pipeline come by the same events in the same order, but for threads, so that the number of one is a moment that can be
drawn and had again. Nothing is patched but what fails: the system's own calls, `time.time`, and nodes.
"""

import atexit
import contextlib
import errno
import importlib
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
GROWING = {"open", "os.mkdir"}
"""What a full disk refuses."""

Action = Callable[[str, str | None], object]
"""Takes the kind of an event, and the file if it is of one."""


class Events:
    """Counts the events of this process from when it was made on.

    Args:
        project: Files elsewhere do not count.
    """

    def __init__(self, project: Path) -> None:
        self.count = 0
        self._project = str(project)
        self._actions: list[tuple[int, bool, Action]] = []
        sys.addaudithook(self._hear)
        self._hear_commits()
        self._hear_waits()

    def at(self, number: int, action: Action, goes_on: bool = False) -> None:
        """Call an action at an event, or from that one on at each."""
        self._actions.append((number, goes_on, action))

    def note(self, kind: str, path: str | None = None) -> None:
        self.count += 1
        for number, goes_on, action in self._actions:
            if self.count == number or (goes_on and self.count > number):
                action(kind, path)

    def _hear(self, kind: str, arguments: tuple[Any, ...]) -> None:
        if kind not in CHANGES or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if kind == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - pathlib raises events of its own
        if path.startswith(self._project):
            self.note(kind, path)

    def _hear_commits(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.orm import Session

        event.listen(Engine, "commit", lambda _: self.note("commit"))
        event.listen(Session, "after_commit", lambda _: self.note("committed"))

    def _hear_waits(self) -> None:
        wait = os.fsync

        def note_and_wait(descriptor: int) -> None:
            self.note("fsync")
            wait(descriptor)

        os.fsync = note_and_wait


def raise_error(number: int, kinds: set[str], told: str) -> Action:
    """Return an action that fails as the system does, at some kinds of events, and as SQLite does at a commit.

    Commits come before the change: none is lost that was reported as done.
    """

    def act(kind: str, path: str | None) -> None:
        if kind in kinds:
            raise OSError(number, os.strerror(number), path)
        if kind == "commit":
            raise sqlite3.OperationalError(told)

    return act


def run_out_of_memory(*_: str | None) -> None:
    raise MemoryError


def run_out_of_device_memory(*_: str | None) -> None:
    import tensorflow as tf

    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64,1024,20000]")


def set_clock(seconds: float) -> Action:
    """Return an action that puts the clock forward, or back."""

    def act(*_: str | None) -> None:
        read, read_nanoseconds = time.time, time.time_ns
        time.time = lambda: read() + seconds
        time.time_ns = lambda: read_nanoseconds() + round(seconds * 1e9)

    return act


def lock_store(seconds: float) -> Action:
    """Return an action that holds MLflow's database, as a program beside this one, for a while."""

    def hold() -> None:
        with contextlib.closing(sqlite3.connect("mlflow.db", timeout=60)) as store:
            store.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)

    return lambda *_: threading.Thread(target=hold, daemon=True).start()


def send(name: str) -> Action:
    return lambda *_: os.kill(os.getpid(), getattr(signal, name))


ACTIONS: dict[str, tuple[Action, bool]] = {
    "SIGKILL": (send("SIGKILL"), False),
    "SIGTERM": (send("SIGTERM"), False),
    "SIGINT": (send("SIGINT"), False),
    "full": (raise_error(errno.ENOSPC, GROWING, "database or disk is full"), True),
    "read-only": (raise_error(errno.EROFS, CHANGES, "attempt to write a readonly database"), True),
    "memory": (run_out_of_memory, False),
    "device memory": (run_out_of_device_memory, False),
    "locked for a while": (lock_store(2), False),
    "locked": (lock_store(600), False),
    "an hour back": (set_clock(-3600), False),
    "a year back": (set_clock(-365 * 86400), False),
    "an hour on": (set_clock(3600), False),
    "a year on": (set_clock(365 * 86400), False),
}
"""What can happen, and whether it goes on from then."""


def prepare(faults: list[dict[str, Any]]) -> None:
    """Let faults happen in this process.

    Args:
        faults: Each with `do`, one of `ACTIONS`, and when: `event`, the number of one; `node` and `calls`, a function
            that the node calls (`module function`); or `node` and `saves`, the name of a file that is written and not
            yet renamed. `{"count": PATH}` instead writes the number of all events to a file.
    """
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # where tests run in the background it is ignored
    events = Events(Path.cwd())
    for fault in faults:
        if "count" in fault:
            atexit.register(lambda path=Path(fault["count"]): path.write_text(str(events.count)))
        elif "event" in fault:
            action, goes_on = ACTIONS[fault["do"]]
            events.at(fault["event"], action, goes_on)
        elif "saves" in fault:
            act_before_renaming(fault["saves"], ACTIONS[fault["do"]][0])
        else:
            act_in_node(fault["node"], fault["calls"], ACTIONS[fault["do"]][0])


def act_once(action: Action) -> Callable[[], None]:
    actions = iter([action])
    return lambda: next(actions, lambda *_: None)("node", None)


def act_before_renaming(name: str, action: Action) -> None:
    from minigpt_pipeline import files

    act, rename = act_once(action), Path.replace

    def act_and_rename(partial: Path, path: Path) -> Path:
        if partial.name == f".{name}.partial":
            act()
        return rename(partial, path)

    files.Path.replace = act_and_rename


def act_in_node(name: str, place: str, action: Action) -> None:
    from kedro.pipeline.node import Node

    act, run_node = act_once(action), Node.run
    module_name, function = place.split()

    def run_and_act(node: Node, *arguments: Any) -> Any:
        if node.name == name:
            module = importlib.import_module(module_name)
            work = getattr(module, function)

            def act_and_work(*arguments: Any, **options: Any) -> Any:
                act()
                return work(*arguments, **options)

            setattr(module, function, act_and_work)
        return run_node(node, *arguments)

    Node.run = run_and_act
