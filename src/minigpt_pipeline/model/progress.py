"""How far training has come: a bar in a terminal, lines in a file."""

import logging
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0


class ProgressDisplay(Protocol):
    """Shows how far training has come."""

    def show(self, done: float, seconds: float, message: str) -> None:
        """Show it.

        Args:
            done: Share of the work, from 0 to 1; where several limits are set, of the one that ends it first.
            seconds: That it took, those before an interruption included.
            message: What is going on.
        """


class ProgressLines:
    """Logs a line now and then."""

    def __init__(self) -> None:
        self._last_line = -math.inf

    def show(self, done: float, seconds: float, message: str) -> None:
        """Log the message, unless the last one is fresh."""
        if seconds - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = seconds
            logger.info("%s, %s", message, describe_time_left(done, seconds))


class ProgressBar:
    """Draws a bar.

    Args:
        bar: Where it is drawn.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task("training", total=1.0, time_left="")

    def show(self, done: float, seconds: float, message: str) -> None:
        """Move the bar."""
        time_left = describe_time_left(done, seconds)
        self._bar.update(self._task, completed=done, description=message, time_left=time_left)


def describe_time_left(done: float, seconds: float) -> str:
    """Say how long the rest takes if it goes on as it went.

    Args:
        done: Share of the work, from 0 to 1.
        seconds: That it took.
    """
    if done <= 0:
        return "time left unknown"
    left = round(seconds * (1 - done) / done)
    return f"{left // 60}:{left % 60:02d} left"


@contextmanager
def showing_progress(console: Console | None = None) -> Iterator[ProgressDisplay]:
    """Draw a bar where a person watches, else log lines.

    Args:
        console: Where to draw; null means standard error.

    Yields:
        What shows the progress.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[time_left]}"))
    with Progress(*columns, console=console) as bar, _logging_above_the_bar():
        yield ProgressBar(bar)


@contextmanager
def _logging_above_the_bar() -> Iterator[None]:
    """Let log lines go through the stream that the bar has put in the place of standard error.

    A handler keeps the stream that it was made with, and would write into the bar.
    """
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.__stderr__, sys.__stdout__)
    ]
    streams = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)
