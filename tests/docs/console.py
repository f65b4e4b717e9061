"""Commands that stand in documents, and what a terminal shows when they run as they stand there."""

import math
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HOME = "/home/you/minigpt-pipeline"
"""Where documents say that the project lies."""

ELLIPSIS = "..."
COLUMNS = 80

SERVERS = {
    "make ui": "http://127.0.0.1:5000",
    "make serve": "http://127.0.0.1:8000/ready",
    "mlflow server": "http://127.0.0.1:5000",
    "mlflow models serve": "http://127.0.0.1:8001/ping",
}
"""Commands that go on until they are interrupted, and where they answer."""

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?%?")
_RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")
_OF_THE_CLOCK = re.compile(
    r"\d{4}[-/]\d\d[-/]\d\d|\d\d:\d\d:\d\d|\d+:\d\d (?:min|left)|[\d.]+ s\b|[\d,]+ words/s"
)
_OF_THE_PROCESS = re.compile(r"(?<=process \[)\d+")
_TEXT_OF_A_MODEL = re.compile(r"(?i)(?<=the best scene )[^\"»│]+")


class Command(NamedTuple):
    """What a document tells to type, and what it shows below."""

    text: str
    shown: list[str]


def read_commands(page: str) -> list[Command]:
    commands: list[Command] = []
    for block in _BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append(Command(line.removeprefix("$ "), []))
            elif commands[-1].text.endswith("\\") and not commands[-1].shown:
                commands[-1] = Command(f"{commands[-1].text}\n{line}", [])
            else:
                commands[-1].shown.append(line)
    return commands


def match(shown: Sequence[str], printed: Sequence[str]) -> list[tuple[str, str]]:
    """Find the lines that a document shows, in their order; others stand between them only where a line says `...`.

    Returns:
        Each with the one that was printed.

    Raises:
        AssertionError: If a line was not printed.
    """
    shown, printed = _drop_wrapped([*shown]), _drop_wrapped([line.rstrip() for line in printed])
    found: list[tuple[str, str]] = []
    here, may_skip = 0, False
    for part in _parts(shown):
        starts = range(here, len(printed)) if may_skip else [here]
        start = next((start for start in starts if _agree_all(part, printed[start:])), None)
        if start is None:
            rest = "\n".join(printed[here:][:40])
            raise AssertionError("\n".join(["This was not printed:", *part, "", "but this:", rest]))
        found += zip(part, printed[start:], strict=False)
        here, may_skip = start + len(part), True
    if shown and shown[-1] != ELLIPSIS and here < len(printed):
        raise AssertionError(f"Behind {shown[-1]!r} more was printed: {printed[here]!r}")
    return found


def _parts(shown: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for line in shown:
        if line == ELLIPSIS:
            yield part
            part = []
        else:
            part.append(line)
    yield part


def _agree_all(shown: Sequence[str], printed: Sequence[str]) -> bool:
    return len(printed) >= len(shown) and all(map(agree, shown, printed))


def agree(shown: str, printed: str) -> bool:
    """Whether a line is as it is shown, but for what differs by its nature.

    The clock's figures and ids are anything. Whole numbers are exact; with decimals, which another processor's rounding
    moves, they may be a tenth away, and percentages, counted on few texts, a point. Of a text that a model has written
    only the prompt is looked at: one rounding changes all that follows. A line that ends with ` ...` is a beginning.
    """
    one, other = _settle(shown.removesuffix(f" {ELLIPSIS}")), _settle(printed)
    one_form, other_form = (_NUMBER.sub("#", text) for text in (one, other))
    if shown.endswith(f" {ELLIPSIS}"):
        return other_form.startswith(one_form)
    if one_form != other_form:
        return False
    return all(map(_is_close, _NUMBER.findall(one), _NUMBER.findall(other)))


def _settle(line: str) -> str:
    for pattern in (_RUN_ID, _OF_THE_CLOCK, _OF_THE_PROCESS):
        line = pattern.sub("*", line)
    return _TEXT_OF_A_MODEL.sub("*", line)


def _is_close(shown: str, printed: str) -> bool:
    if "." not in shown:
        return shown == printed
    one, other = (float(text.rstrip("%").replace(",", "")) for text in (shown, printed))
    return abs(one - other) <= 1 if shown.endswith("%") else math.isclose(one, other, rel_tol=0.1)


def _drop_wrapped(lines: Sequence[str]) -> list[str]:
    """Drop the lines in a frame on which a text that was begun before goes on: their number is not the same."""
    return [line for line in lines if line.count("│") != 2 or re.match(r"│ \d\) ", line)]


class Terminal:
    """Runs commands as a person who reads a document types them.

    Args:
        project: Where they are typed; the prompt never leaves it.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._prelude: list[str] = []
        self._ids: dict[str, str] = {}
        self._servers: list[_Process] = []
        folders = os.environ["PATH"].split(os.pathsep)
        nowhere = "http://127.0.0.1:9"
        self._environment = {
            # Without the folder of the running Python: a document that needs `kedro` there says so.
            "PATH": os.pathsep.join(
                folder for folder in folders if folder != str(Path(sys.executable).parent)
            ),
            "HOME": os.environ.get("HOME", ""),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "PYTHONPATH": "src",  # the environment has the package of another checkout
            "https_proxy": nowhere,
            "http_proxy": nowhere,
            "no_proxy": "127.0.0.1,localhost",
        }

    def type(self, command: Command) -> list[str]:
        """Run a command to its end, or until it serves, and hold what it prints against what the document shows."""
        if url := next((url for name, url in SERVERS.items() if command.text.startswith(name)), None):
            return self._serve(command, url)
        process = self._begin(command)
        status, printed = process.wait()
        assert status == 0, f"{command.text} ended with {status}:\n" + "\n".join(printed[-20:])
        if command.shown:
            self._remember_ids(match(command.shown, printed))
        if command.text.startswith(("source ", "export ")):
            self._prelude.append(self._take_ids(command.text))
        return printed

    def _serve(self, command: Command, url: str) -> list[str]:
        assert not answers(url), f"Something answers at {url} before {command.text}: end it first"
        process = self._begin(command)
        self._servers.append(process)
        while not answers(url):
            assert process.is_running, f"{command.text} has ended:\n" + "\n".join(process.lines())
            time.sleep(0.5)
        time.sleep(1)  # it answers before it says so
        if command.shown:
            match(command.shown, process.lines())
        return process.lines()

    def interrupt(self) -> None:
        """Press Ctrl-C where a server runs, and wait for its end."""
        while self._servers:
            process = self._servers.pop()
            process.interrupt()
            process.wait()

    def put_in(self, word: str, actual: str) -> None:
        """Type this where commands have a word that stands for it."""
        self._ids[word] = actual

    def _begin(self, command: Command) -> "_Process":
        script = "\n".join([*self._prelude, self._take_ids(command.text)])
        return _Process(script, self.project, self._environment)

    def _take_ids(self, text: str) -> str:
        """Put in the ids that were printed where the document has those of its own day."""
        for shown, actual in self._ids.items():
            text = text.replace(shown, actual)
        return text

    def _remember_ids(self, pairs: Sequence[tuple[str, str]]) -> None:
        for shown, printed in pairs:
            self._ids |= dict(zip(_RUN_ID.findall(shown), _RUN_ID.findall(printed), strict=True))


class _Process:
    """A shell in a terminal of its own."""

    def __init__(self, script: str, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, COLUMNS))
        self._process = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._bytes = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._master, 65536):
                self._bytes += chunk
        except OSError:  # the last one that could have written has ended, or has closed its outputs
            pass

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def interrupt(self) -> None:
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> tuple[int, list[str]]:
        try:
            status = self._process.wait()
            self._reader.join()
            os.close(self._master)  # not before its end, which would hang up on it
        except BaseException:  # the test was interrupted, or its time is up
            os.killpg(self._process.pid, signal.SIGKILL)
            raise
        return status, self.lines()

    def lines(self) -> list[str]:
        """Return what a person sees when all has been printed: of lines that were drawn again and again the last."""
        text = _CONTROL.sub("", self._bytes.decode(errors="replace")).replace(str(self._folder), HOME)
        lines = [_last_drawn(line).rstrip() for line in text.replace("\r\n", "\n").split("\n")]
        return lines[:-1] if lines[-1] == "" else lines


def _last_drawn(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")


def answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5):
            return True
    except OSError:
        return False
