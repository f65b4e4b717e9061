"""The log of a trial's training, at which the search listens."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.model.training_record import SECONDS, WORDS


class Look(NamedTuple):
    """A look at the validation films.

    Args:
        step: Optimizer steps done.
        words: Words trained on, padding not counted.
        seconds: Of training, looks included.
        loss: In nats per word.
    """

    step: int
    words: int
    seconds: float
    loss: float


class ReportingLog:
    """A `TrainingLog` that hands each look at the validation films on, and whatever it writes to another log.

    Args:
        training_log: The other one.
        report: Takes the looks; what it raises ends the training.
    """

    def __init__(self, training_log: TrainingLog, report: Callable[[Look], None]) -> None:
        self._training_log = training_log
        self._report = report
        self._seconds = 0.0

    @property
    def name(self) -> str:
        """The other log's."""
        return self._training_log.name

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write measurements, and report the validation loss among them."""
        self._training_log.log(step, metrics)
        # Before each look the losses of the last steps are logged, and the seconds with them.
        self._seconds = metrics.get(SECONDS, self._seconds)
        if "val/loss" in metrics:
            self._report(Look(step, int(metrics[WORDS]), self._seconds, metrics["val/loss"]))

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Write generated texts."""
        self._training_log.log_samples(samples)

    def take_over(
        self,
        former: str,
        measurements: Sequence[tuple[int, dict[str, float]]],
        samples: Sequence[dict[str, Any]],
    ) -> None:
        """Write what a killed training had written."""
        self._training_log.take_over(former, measurements, samples)
