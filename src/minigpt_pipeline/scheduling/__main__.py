"""`python -m minigpt_pipeline.scheduling`, behind `make schedule`: run the schedules until Ctrl-C.

This process watches over those of Dagster: one that serves the project's definitions, the daemon, and the pages. They
are forks of it, and end with it, also where it is killed. It loads what they share, when all is known to be in order.
"""

import argparse
import gc
import importlib.util
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from filelock import FileLock, Timeout

from minigpt_pipeline.addresses import is_loopback
from minigpt_pipeline.scheduling.home import Home
from minigpt_pipeline.scheduling.tied import tie_to

HOST = "127.0.0.1"
BETWEEN_STAMPS = 15.0
"""Seconds."""
BETWEEN_TIDYING = 86_400.0
"""Seconds: schedules may be at work for months."""
PAUSE = 0.2
SHARED = (
    "dagster._cli.api",
    "dagster._daemon.cli",
    "dagster._core.storage.runs.sqlite",
    "dagster._core.storage.event_log.sqlite",
    "dagster._core.storage.schedules.sqlite.sqlite_schedule_storage",
    "minigpt_pipeline.scheduling.definitions",
)
"""What more than one of Dagster's processes needs."""
PATIENCE_OF_START = 90.0
"""Seconds until Dagster's processes answer: most of them are imports."""
PATIENCE_OF_END = 10.0
"""Seconds until they have ended behind the signal."""


class Ended(Exception):  # noqa: N818 -- no error
    """Somebody has ended the schedules.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number if number == signal.SIGINT else 0  # SIGTERM is how a service ends


class StartError(RuntimeError):
    """The schedules can't be run, or Dagster has ended by itself."""


class Pages(NamedTuple):
    """Where Dagster's pages are: the address at which they listen, and the port."""

    host: str
    port: int


class Dagster:
    """Its processes, in their order.

    They are forks of this one, which has loaded most of what they need: so they share that memory.

    Args:
        home: Of the project.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._processes: dict[str, ForkProcess] = {}
        for module in SHARED:
            importlib.import_module(module)
        gc.freeze()

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start a module with arguments.

        Args:
            name: For messages.
            module: Run as `python -m` does.
            arguments: Of its command line.
        """
        process = ForkProcess(target=become, args=(self._home, os.getpid(), module, arguments))
        process.start()
        self._processes[name] = process

    def check(self) -> None:
        """See that all are alive.

        Raises:
            StartError: If one is not.
        """
        for name, process in self._processes.items():
            if not process.is_alive():
                raise StartError(f"{name} has ended by itself with exit code {process.exitcode}: see above")

    def end(self, *names: str) -> None:
        """End some, all at once; one that does not is killed."""
        processes = [self._processes.pop(name) for name in names if name in self._processes]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + PATIENCE_OF_END
        for process in processes:
            process.join(max(deadline - time.monotonic(), 0))
            kill(process)

    def kill(self) -> None:
        """End all at once."""
        for process in self._processes.values():
            kill(process)


def become(home: Home, parent: int, module: str, arguments: Sequence[str]) -> None:
    """Run a module in a fork, in a session of its own: Ctrl-C in a terminal reaches only who watches."""
    os.setsid()
    # Behind SIGTERM, who serves definitions would wait for runs, and keep the next start out.
    tie_to(parent, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.environ.update(home.environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def kill(process: ForkProcess) -> None:
    """Kill a process and its children, where it has not ended."""
    if process.is_alive() and process.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.join()


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Refuse to begin where schedules of the project are at work.

    Raises:
        StartError: With the process that runs them.
    """
    note = home.folder / "scheduler.pid"
    try:
        lock = FileLock(home.lock).acquire(blocking=False)
    except Timeout as error:
        process = note.read_text(encoding="utf-8").strip() if note.exists() else "unknown"
        raise StartError(
            f"The schedules of {home.project} are run already, by process {process}: end it with Ctrl-C, or leave it"
        ) from error
    with lock:
        note.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield


def run(home: Home, pages: Pages | None) -> None:
    """Run the schedules until something ends them.

    Args:
        home: Of the project.
        pages: Where Dagster's pages are to be; null for nowhere.

    Raises:
        StartError: If they can't begin, or a process of Dagster has ended.
        Ended: If somebody ended them.
    """
    with alone(home):
        keep_house("begin", home)
        dagster = Dagster(home)
        try:
            begin(dagster, home, pages)
            watch(dagster, home)
        except Ended:
            sys.stderr.write("Ending; Ctrl-C again ends all at once\n")
            end(dagster, home)
            raise
        finally:
            dagster.kill()


def begin(dagster: Dagster, home: Home, pages: Pages | None) -> None:
    """Start Dagster's processes, and say where its pages are."""
    home.socket.unlink(missing_ok=True)
    definitions = "minigpt_pipeline.scheduling.code_location"
    location = ("--grpc-socket", str(home.socket), "--grpc-host", "localhost")
    dagster.start(
        "The server of definitions",
        "dagster",
        *("api", "grpc", "--socket", str(home.socket), "--module-name", definitions),
        *("--location-name", "minigpt", "--log-level", "warning", "--max-workers", "2"),
    )
    wait_for(home.socket.exists, dagster)
    dagster.start("The daemon", "dagster._daemon", "run", *location, "--log-level", "warning")
    if pages is not None:
        dagster.start(
            "The server of pages",
            "dagster_webserver",
            *(*location, "--host", pages.host, "--port", str(pages.port), "--log-level", "warning"),
        )
        wait_for(lambda: answers(pages.port), dagster)
        sys.stderr.write(f"Dagster: http://{pages.host}:{pages.port}\n")
    sys.stderr.write("The schedules are at work; Ctrl-C ends them\n")


def watch(dagster: Dagster, home: Home) -> None:
    """Note now and then that the schedules are at work, and remove what is old each day, until a process ends."""
    tidied = time.monotonic()
    while True:
        home.stamp()
        if time.monotonic() > tidied + BETWEEN_TIDYING:
            tidied = time.monotonic()
            with suppress(StartError):  # it has said why, and is tried again the next day
                keep_house("tidy", home)
        deadline = time.monotonic() + BETWEEN_STAMPS
        while time.monotonic() < deadline:
            dagster.check()
            time.sleep(PAUSE)


def end(dagster: Dagster, home: Home) -> None:
    """End all: the daemon first, so that nothing new begins, then what runs, then what serves both."""
    with suppress(Ended):
        home.stamp()
        dagster.end("The daemon")
        keep_house("end", home)
        dagster.end("The server of definitions", "The server of pages")


def keep_house(what: str, home: Home) -> None:
    """Do what is done once, in a process of its own.

    Raises:
        StartError: If that fails; it has said why.
    """
    command = [sys.executable, "-m", "minigpt_pipeline.scheduling.housekeeping", what]
    with subprocess.Popen(command, cwd=home.project, env=home.environment, start_new_session=True) as process:
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    if code:
        raise StartError


def wait_for(condition: Callable[[], bool], dagster: Dagster) -> None:
    """Wait until something is so.

    Raises:
        StartError: If a process ends meanwhile, or it takes too long.
    """
    deadline = time.monotonic() + PATIENCE_OF_START
    while not condition():
        dagster.check()
        if time.monotonic() > deadline:
            raise StartError(f"Dagster has not answered in {PATIENCE_OF_START:.0f} s: see above")
        time.sleep(PAUSE)


def answers(port: int) -> bool:
    """Return whether Dagster's pages do."""
    try:
        address = f"http://{HOST}:{port}/server_info"
        with urllib.request.urlopen(address, timeout=PATIENCE_OF_START):  # this machine's own # nosec B310
            return True
    except (urllib.error.URLError, OSError):
        return False


def is_free(port: int) -> bool:
    """Return whether nobody listens at a port."""
    with socket.socket() as ours:
        return ours.connect_ex((HOST, port)) != 0


def check_start(pages: Pages | None) -> None:
    """See that what is needed is there.

    Raises:
        StartError: If it is not.
    """
    if importlib.util.find_spec("dagster") is None:
        raise StartError(
            "Dagster is not installed: make install, or pip install 'minigpt-pipeline[schedule]'"
        )
    if pages is not None and not is_free(pages.port):
        raise StartError(f"Port {pages.port} is taken: name another one, as in make schedule PORT=3001")


def raise_ended(number: int, _frame: FrameType | None) -> None:
    """Let a signal end what goes on."""
    raise Ended(number)


def main(arguments: list[str] | None = None) -> int:
    """Run the schedules of the project in the working directory."""
    parser = argparse.ArgumentParser(prog="make schedule", description=__doc__)
    parser.add_argument("--headless", action="store_true", help="without Dagster's pages")
    parser.add_argument(
        "--host", default=HOST, help="whose requests reach Dagster's pages: 0.0.0.0 in a container"
    )
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        help="something in front of that host asks who they are: Dagster does not, and whoever reaches it can run jobs",
    )
    parser.add_argument("--port", type=int, default=3000, help="of Dagster's pages (3000)")
    asked = parser.parse_args(arguments)
    home, pages = Home(Path.cwd()), None if asked.headless else Pages(asked.host, asked.port)
    if pages and not (asked.behind_proxy or is_loopback(pages.host)):
        parser.error(
            f"--host {pages.host} lets others than this machine reach Dagster's pages, which ask nobody who they are: "
            "say --behind-proxy where something in front does, or leave --host out"
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, raise_ended)
    try:
        check_start(pages)
        home.make()
        run(home, pages)
    except Ended as ended:
        return ended.exit_code
    except (StartError, ValueError, OSError) as error:
        if str(error):
            sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
