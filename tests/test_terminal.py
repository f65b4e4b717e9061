"""What a person sees who starts `kedro run` in a terminal, and what a pipe gets: processes of their own."""

import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

COMMAND = [sys.executable, "-m", "kedro", "run", "--env", "test"]
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d INFO +\S.*")
BARS = (
    "Reading reviews", "Counting words", "Encoding reviews", "Counting n-grams", "Training", "Writing texts",
    "Measuring losses", "Measuring calibration",
)  # fmt: skip


def run_in_terminal(project: Path, environment: dict[str, str]) -> str:
    """Return what comes to a terminal that is the standard error of a run."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen(
        COMMAND, cwd=project, stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # so Linux tells of the end
                break
            if not piece:
                break
            said += piece
        os.close(ours)
        assert process.wait() == 0, said.decode()
    return said.decode()


def read_screen(said: str) -> list[str]:
    """Return the lines that stay on a terminal: of what begins anew in a line, the last."""
    lines = (line.removesuffix("\r").split("\r")[-1].rstrip() for line in said.split("\n"))
    return [line for line in lines if line]


def test_a_terminal_shows_bars_and_keeps_only_the_log(make_project: Callable[[str], Path]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}

    said = run_in_terminal(make_project("terminal"), environment)

    drawn = {part.partition(" |")[0] for part in re.split(r"[\r\n]+", said) if " |" in part}
    assert not [name for name in BARS if name not in drawn]
    assert any(re.fullmatch(r"Epoch \d+, step \d+: loss .* words/s", name) for name in drawn)
    assert re.search(r"0 of 4,000 reviews, \? reviews/s, \? left", said)
    assert [line for line in read_screen(said) if not LOG_LINE.fullmatch(line)] == []


def test_a_pipe_gets_the_log_and_no_bar(make_project: Callable[[str], Path]) -> None:
    result = subprocess.run(COMMAND, cwd=make_project("pipe"), capture_output=True, text=True, check=True)

    assert [line for line in result.stderr.splitlines() if not LOG_LINE.fullmatch(line)] == []
    assert "16 of 16: " in result.stderr
    assert "\r" not in result.stderr
