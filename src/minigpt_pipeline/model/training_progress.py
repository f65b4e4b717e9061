"""A progress bar with the time left where there is a terminal, and a line now and then where there is none."""

import logging
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30
SECONDS_A_MINUTE = 60


class TrainingProgress:
    """Shows how far a training is: of its steps, or of its minutes, whichever is further.

    Args:
        max_steps: Where it ends.
        max_minutes: Where it ends too; None means never.
    """

    def __init__(self, max_steps: int, max_minutes: float | None) -> None:
        self._max_steps = max_steps
        self._max_seconds = max_minutes * SECONDS_A_MINUTE if max_minutes else None
        self._start = self._last_line = time.perf_counter()
        self._figures: dict[str, float] = {}
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.description}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def update(self, step: int, **figures: float) -> None:
        """Show the newest figures, such as `train_loss`, at a step."""
        self._figures |= figures
        now = time.perf_counter()
        done = step / self._max_steps
        if self._max_seconds:
            done = max(done, (now - self._start) / self._max_seconds)
        text = self._describe(step)
        self._bar.update(self._task, completed=min(done, 1.0), description=text)
        if self._bar.disable and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            logger.info("training %3.0f %%  %s", 100 * min(done, 1.0), text)

    def _describe(self, step: int) -> str:
        parts = [f"step {step}"]
        if "train_loss" in self._figures:
            parts.append(f"loss {self._figures['train_loss']:.3f}")
        if "validation_loss" in self._figures:
            parts.append(f"validation {self._figures['validation_loss']:.3f}")
        if "tokens_per_second" in self._figures:
            parts.append(f"{self._figures['tokens_per_second']:,.0f} tokens/s")
        return "  ".join(parts)
