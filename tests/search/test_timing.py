from typing import Any

from minigpt_pipeline.parameters import TrainingParameters
from minigpt_pipeline.search.timing import TimingLog, limit_steps, steps_within
from tests.search.conftest import BASE


def test_steps_within_counts_looks_too() -> None:
    log = TimingLog()
    log.times, log.seconds_of_look = [(10, 30.0), (20, 35.0)], 4.0  # half a second a step

    assert steps_within(60, log, None) == 120
    assert steps_within(60, log, 8) == 60
    assert steps_within(0.1, log, 8) == 1


def test_limit_steps_leaves_the_first_half_out_and_ends_a_training_within_its_minutes() -> None:
    seen: list[TrainingParameters] = []

    def train(_model: Any, training: TrainingParameters, log: Any) -> None:
        seen.append(training)
        log.log(10, {"train/seconds": 50.0})  # graphs are made
        log.log(20, {"train/seconds": 60.0})

    training = TrainingParameters(**BASE["training"] | {"max_minutes": 2.0, "evaluate_every_steps": None})

    limited = limit_steps(train, None, training, 20)  # type: ignore[arg-type]

    assert (seen[0].max_steps, seen[0].log_every_steps, seen[0].evaluate_every_steps) == (20, 10, None)
    assert (limited.max_steps, limited.max_minutes) == (120, None)
    shorter = training.model_copy(update={"max_steps": 7})
    assert limit_steps(train, None, shorter, 20).max_steps == 7  # type: ignore[arg-type]
