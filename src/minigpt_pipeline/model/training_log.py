"""Where a training run is written to while it goes on."""

from collections.abc import Sequence
from typing import Any, Protocol


class SampleLog(Protocol):
    """A sink for generated texts."""

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Write generated texts.

        Args:
            samples: One row a text; see `generation.make_sample_rows`.
        """


class TrainingLog(SampleLog, Protocol):
    """A sink for live measurements and texts; MLflow in a run, a list in tests."""

    @property
    def name(self) -> str:
        """Tells this log from others: in MLflow the id of the run."""

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write measurements.

        Args:
            step: Optimizer steps done.
            metrics: Values by name, such as `train/loss` in nats per word.
        """

    def take_over(
        self,
        former: str,
        measurements: Sequence[tuple[int, dict[str, float]]],
        samples: Sequence[dict[str, Any]],
    ) -> None:
        """Write, in one go, what a killed training had written by its last checkpoint: the log of its end is whole.

        Args:
            former: The name of the log that the killed training wrote to.
            measurements: What `log` was called with.
            samples: The rows that `log_samples` was called with.
        """
