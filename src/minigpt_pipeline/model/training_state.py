"""How far a training has come."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class TrainingState:
    """All that a training must know to go on as if it had never stopped, but for its arrays and its record.

    Epoch and place in the epoch follow from the step, and the order of an epoch from its number and the seed.

    Args:
        step: Optimizer steps done.
        words: Words trained on, padding not counted.
        seconds: Spent in attempts before this one, so that `max_minutes` limits all of them together.
        losses: Of the steps that are not logged yet: step, summed loss in nats, words. Both may still be on the device.
        seconds_in_steps: Spent in these steps.
        evaluated_step: The last step after which the validation reviews were measured.
        best_step: The step with the lowest validation loss.
        best_loss: That loss, in nats per word.
        disappointments: Measurements since then, none of which was better.
    """

    step: int = 0
    words: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, Any, Any]] = field(default_factory=list)
    seconds_in_steps: float = 0.0
    evaluated_step: int = -1
    best_step: int = -1
    best_loss: float = math.inf
    disappointments: int = 0

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Return what `from_json` takes; the losses must have been read from the device.

        Args:
            seconds: Spent in all attempts until now.
        """
        return asdict(self) | {"seconds": seconds}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the state that `to_json` was called on."""
        losses = [(step, loss_sum, words) for step, loss_sum, words in content["losses"]]
        return cls(**content | {"losses": losses})
