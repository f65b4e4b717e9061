"""Where a training run is written to while it goes on."""

from collections.abc import Sequence
from typing import Any, Protocol


class TrainingLog(Protocol):
    """A sink for live measurements and texts; MLflow in a run, a list in tests."""

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write measurements.

        Args:
            step: Optimizer steps done.
            metrics: Values by name, such as `train/loss` in nats per word.
        """

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Write generated texts.

        Args:
            samples: One row a text: `epoch`, `prompt`, `sample`, `text`, `temperature`, `top_k`, `top_p`,
                `seed`.
        """
