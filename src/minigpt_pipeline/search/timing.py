"""How many steps a trial can take in its minutes: what falls to zero with the last step must know it beforehand."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.model.training_record import SECONDS
from minigpt_pipeline.parameters import ModelParameters, TrainingParameters

TrainAny = Callable[[ModelParameters, TrainingParameters, TrainingLog], Any]


def limit_steps(
    train: TrainAny, model: ModelParameters, training: TrainingParameters, timed_steps: int
) -> TrainingParameters:
    """Let a training end with the step that its minutes allow at the speed of its model, and not with the minutes.

    A machine that becomes busy makes it longer, and what comes of it no worse.

    Args:
        train: Trains a model, which is forgotten. A training that is cut short raises: its times say nothing.
        model: Its sizes.
        training: Has `max_minutes`; of `max_steps` the lower number holds.
        timed_steps: Steps that are timed; the first half of them is not, in which graphs are made.
    """
    log = TimingLog()
    short = {
        "max_steps": timed_steps,
        "log_every_steps": (timed_steps + 1) // 2,
        "evaluate_every_steps": None,
    }
    train(model, training.model_copy(update=short), log)
    steps = steps_within(60 * (training.max_minutes or 0), log, training.evaluate_every_steps)
    steps = min(steps, training.max_steps or steps)
    return training.model_copy(update={"max_steps": steps, "max_minutes": None})


def steps_within(seconds: float, log: "TimingLog", evaluate_every_steps: int | None) -> int:
    """Return how many steps, with their looks at the validation films, take no longer than this; 1 at least."""
    looks_per_step = 1 / evaluate_every_steps if evaluate_every_steps else 0.0
    return max(1, int(seconds / (log.seconds_per_step() + looks_per_step * log.seconds_of_look)))


class TimingLog:
    """A `TrainingLog` that keeps nothing but times."""

    name = "timing"

    def __init__(self) -> None:
        self.times: list[tuple[int, float]] = []
        self.seconds_of_look = 0.0
        self._logged = time.monotonic()

    def seconds_per_step(self) -> float:
        """Return the time of a step between the first and the last measurement."""
        (first_step, first), *_, (last_step, last) = [(0, 0.0), *self.times][-2:]
        return (last - first) / max(1, last_step - first_step)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Note how long it took."""
        if SECONDS in metrics:
            self.times.append((step, metrics[SECONDS]))
            self._logged = time.monotonic()
        if "val/loss" in metrics:
            self.seconds_of_look = time.monotonic() - self._logged

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Let texts go by."""

    def take_over(self, *_: Any, **__: Any) -> None:
        """Refuse: what goes on from a checkpoint has no time of its own."""
        raise RuntimeError("A training that goes on from a checkpoint can't be timed")
