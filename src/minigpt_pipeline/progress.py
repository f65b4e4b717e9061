"""How far long work has come, and how long the rest takes: a bar where a person watches, none in a pipe or in CI.

A bar vanishes when its work ends: what stays is the log, whose lines are written above it.
"""

import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger(__name__)

Piece = TypeVar("Piece")
Advance = Callable[[float], object]
"""Told how much more is done, in the unit of the bar."""

SECONDS_BETWEEN_LINES = 30.0

COUNTED = "{desc} |{bar:20}| {n:,.0f} of {total:,.0f}{unit}, {rate_noinv_fmt}, {remaining} left"
SHARE = "{desc} |{bar:20}| {percentage:.0f} %{postfix}"


def tell_nobody(count: float) -> None:
    """Show nothing: the `Advance` of work that nobody asked about."""


def is_watched() -> bool:
    """Return whether a person reads standard error while it is written; CI may give a terminal of its own."""
    return sys.stderr.isatty() and not os.environ.get("CI")


@contextmanager
def showing_progress(doing: str, total: float, unit: str, scale: float = 1.0) -> Iterator[Advance]:
    """Show how much of some work is done, how fast it goes, and how long the rest takes.

    Args:
        doing: What is done, `Writing texts`.
        total: All of it.
        unit: What is counted, as people say it: `texts`.
        scale: What is shown of one that is counted.

    Yields:
        What to tell of each part that is done, some parts at once where they are quick.
    """
    if not is_watched():
        yield tell_nobody
        return
    with _drawing(total, COUNTED, desc=doing, unit=f" {unit}", unit_scale=scale) as bar:
        yield lambda count: bar.update(min(count, total - bar.n))  # tqdm knows no total that was exceeded


def track(
    pieces: Iterable[Piece], doing: str, total: float, unit: str, size: Callable[[Piece], float] = lambda _: 1
) -> Iterator[Piece]:
    """Show how many of some pieces are taken; see `showing_progress`.

    Args:
        pieces: Some.
        doing: What is done with them.
        total: All their sizes.
        unit: What is counted.
        size: How much of that a piece is.

    Yields:
        The pieces.
    """
    with showing_progress(doing, total, unit) as advance:
        for piece in pieces:
            yield piece
            advance(size(piece))


class ShareDisplay(Protocol):
    """Shows how far work has come of which only the share is known, as whichever limit comes first ends it."""

    def show(self, done: float, seconds: float, message: str) -> None:
        """Show it.

        Args:
            done: Share of the work, from 0 to 1; where several limits are set, of the one that ends it first.
            seconds: That it took, those before an interruption included.
            message: What is going on.
        """


class ShareLines:
    """Logs a line now and then."""

    def __init__(self) -> None:
        self._last_line = -math.inf

    def show(self, done: float, seconds: float, message: str) -> None:
        """Log the message, unless the last one is fresh."""
        if seconds - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = seconds
            logger.info("%s, %s", message, describe_time_left(done, seconds))


class ShareBar:
    """Draws a bar.

    Args:
        bar: Of a total of 1.
    """

    def __init__(self, bar: "tqdm[None]") -> None:
        self._bar = bar

    def show(self, done: float, seconds: float, message: str) -> None:
        """Move the bar."""
        self._bar.n = min(done, 1.0)
        self._bar.set_description_str(message, refresh=False)
        self._bar.postfix = describe_time_left(done, seconds)
        self._bar.refresh()


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
def showing_share(doing: str) -> Iterator[ShareDisplay]:
    """Draw a bar where a person watches, else log a line now and then: the work takes long.

    Args:
        doing: What is done, until there is more to say.

    Yields:
        What shows the progress.
    """
    if not is_watched():
        yield ShareLines()
        return
    with _drawing(1.0, SHARE, desc=doing) as bar:
        yield ShareBar(bar)


@contextmanager
def _drawing(total: float, form: str, **options: Any) -> Iterator["tqdm[None]"]:
    """Draw a bar below the log until the work ends."""
    # Without `miniters`, tqdm would look at the clock less often than at each update.
    with (
        tqdm(total=total, bar_format=form, leave=False, dynamic_ncols=True, miniters=1, **options) as bar,
        logging_redirect_tqdm(),
    ):
        yield bar


def erase_bars() -> None:
    """End the bars of work that an error has stopped, and that a generator still holds open."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()
