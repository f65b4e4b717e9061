"""What a training run has measured: live to its log, and as tables at its end."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from minigpt_pipeline.model.training_log import TrainingLog

SPEED = "train/tokens_per_second"

WORDS = "train/words"
SECONDS = "train/seconds"
"""In the log, where a step is all that a measurement carries: runs of other batches or speeds are compared by these."""


class TrainingRecord:
    """Sends every measurement to the log and keeps it.

    The clock's measurements are kept apart: the others are the same, bit for bit, in equal runs.

    Args:
        training_log: The live log.
    """

    def __init__(self, training_log: TrainingLog) -> None:
        self._training_log = training_log
        self._history: list[dict[str, Any]] = []
        self._speed: list[dict[str, float]] = []
        self._samples: list[dict[str, Any]] = []

    def add(self, *, epoch: int, step: int, words: int, metrics: dict[str, float]) -> None:
        """Record measurements of a step.

        Args:
            epoch: Counted from 1.
            step: Optimizer steps done.
            words: Words trained on so far, padding not counted.
            metrics: Values by name.
        """
        self._training_log.log(step, metrics | {WORDS: words})
        self._history += [
            {"epoch": epoch, "step": step, "words": words, "name": name, "value": value}
            for name, value in metrics.items()
        ]

    def add_speed(self, *, step: int, seconds: float, tokens_per_second: float) -> None:
        """Record how fast the last steps were.

        Args:
            step: Optimizer steps done.
            seconds: Since the start, in all attempts.
            tokens_per_second: Words, padding not counted, per second of optimizer steps.
        """
        self._training_log.log(step, {SPEED: tokens_per_second, SECONDS: seconds})
        self._speed.append({"step": step, "seconds": seconds, "tokens_per_second": tokens_per_second})

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Record generated texts; see `TrainingLog.log_samples`."""
        self._training_log.log_samples(samples)
        self._samples += samples

    def to_json(self) -> dict[str, Any]:
        """Return what `take_over` takes: all that was recorded, and in which log it stands."""
        return {
            "log": self._training_log.name,
            "history": self._history,
            "speed": self._speed,
            "samples": self._samples,
        }

    def take_over(self, content: dict[str, Any]) -> None:
        """Go on with the record of a killed training, and send all of it to the log of this one."""
        self._history, self._speed, self._samples = content["history"], content["speed"], content["samples"]
        by_step: dict[int, dict[str, float]] = {}
        for row in self._history:
            by_step.setdefault(row["step"], {}).update({row["name"]: row["value"], WORDS: row["words"]})
        for row in self._speed:
            by_step[int(row["step"])] |= {SPEED: row["tokens_per_second"], SECONDS: row["seconds"]}
        self._training_log.take_over(content["log"], list(by_step.items()), self._samples)

    def history(self) -> pd.DataFrame:
        """Return `epoch`, `step`, `words` (int64), `name` (str) and `value` (float64), a row a measurement."""
        columns = {"epoch": "int64", "step": "int64", "words": "int64", "name": "str", "value": "float64"}
        return pd.DataFrame(self._history, columns=list(columns)).astype(columns)

    def speed(self) -> pd.DataFrame:
        """Return `step` (int64), `seconds` and `tokens_per_second` (float64), a row for each time they were logged."""
        columns = {"step": "int64", "seconds": "float64", "tokens_per_second": "float64"}
        return pd.DataFrame(self._speed, columns=list(columns)).astype(columns)
