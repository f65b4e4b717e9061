"""What a training run has measured: live to its log, and as tables at its end."""

import pandas as pd

from minigpt_pipeline.model.training_log import TrainingLog


class TrainingRecord:
    """Sends every measurement to the log and keeps it.

    The clock's measurements are kept apart: the others are the same, bit for bit, in equal runs.

    Args:
        training_log: The live log.
    """

    def __init__(self, training_log: TrainingLog) -> None:
        self._training_log = training_log
        self._history: list[dict[str, object]] = []
        self._speed: list[dict[str, float]] = []

    def add(self, *, epoch: int, step: int, words: int, metrics: dict[str, float]) -> None:
        """Record measurements of a step.

        Args:
            epoch: Counted from 1.
            step: Optimizer steps done.
            words: Words trained on so far, padding not counted.
            metrics: Values by name.
        """
        self._training_log.log(step, metrics)
        self._history += [
            {"epoch": epoch, "step": step, "words": words, "name": name, "value": value}
            for name, value in metrics.items()
        ]

    def add_speed(self, *, step: int, seconds: float, tokens_per_second: float) -> None:
        """Record how fast the last steps were.

        Args:
            step: Optimizer steps done.
            seconds: Since the start.
            tokens_per_second: Words, padding not counted, per second of optimizer steps.
        """
        self._training_log.log(step, {"train/tokens_per_second": tokens_per_second})
        self._speed.append({"step": step, "seconds": seconds, "tokens_per_second": tokens_per_second})

    def history(self) -> pd.DataFrame:
        """Return `epoch`, `step`, `words` (int64), `name` (str) and `value` (float64), a row a measurement."""
        columns = {"epoch": "int64", "step": "int64", "words": "int64", "name": "str", "value": "float64"}
        return pd.DataFrame(self._history, columns=list(columns)).astype(columns)

    def speed(self) -> pd.DataFrame:
        """Return `step` (int64), `seconds` and `tokens_per_second` (float64), a row for each time they were logged."""
        columns = {"step": "int64", "seconds": "float64", "tokens_per_second": "float64"}
        return pd.DataFrame(self._speed, columns=list(columns)).astype(columns)
