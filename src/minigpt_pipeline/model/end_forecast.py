"""Whether the minutes of a training suffice for its learning rate to fall to zero, which makes a model good."""

import logging

from minigpt_pipeline.parameters import TrainingParameters

logger = logging.getLogger(__name__)

TIMED_STEPS = 100
"""That tell the speed; those before the first measurement, in which graphs are made, are not among them."""


class EndForecast:
    """Warns once, as soon as the speed is known, of minutes that end a training too early.

    Args:
        training: Its limits, and how its learning rate falls.
        last_step: That its other limits allow.
    """

    def __init__(self, training: TrainingParameters, last_step: int) -> None:
        self._minutes = training.max_minutes if training.optimizer.decay == "cosine" else None
        self._zero_step = training.optimizer.decay_steps or last_step
        self._timed_from: tuple[int, float] | None = None

    def add(self, step: int, seconds: float) -> None:
        """Take a measurement of the clock.

        Args:
            step: Optimizer steps done.
            seconds: Since the start, in all attempts.
        """
        if self._minutes is None:
            return
        if self._timed_from is None:
            self._timed_from = step, seconds
        first_step, first_seconds = self._timed_from
        if step - first_step < TIMED_STEPS:
            return
        seconds_left = 60 * self._minutes - seconds
        end = step + int(seconds_left * (step - first_step) / (seconds - first_seconds))
        if end < self._zero_step:
            logger.warning(
                "At this speed max_minutes=%g ends the training near step %d, and the learning rate is zero at step "
                "%d: raise max_minutes, or set max_steps=%d, for a better model (conf/base/parameters_training.yml)",
                self._minutes,
                end,
                self._zero_step,
                end,
            )
        self._minutes = None  # once is enough
