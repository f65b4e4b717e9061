from collections.abc import Callable
from typing import Any

import pytest

from minigpt_pipeline.model.end_forecast import EndForecast
from minigpt_pipeline.parameters import TrainingParameters

COSINE = {"name": "adam", "learning_rate": 0.01, "decay": "cosine"}


@pytest.mark.parametrize(
    ("max_minutes", "optimizer", "last_step", "expected"),
    [
        (10, COSINE, 591, "max_minutes=10 ends the training near step 590, and the learning rate is zero at step 591"),
        (10, COSINE, 590, ""),  # in time
        (10, COSINE | {"decay_steps": 300}, 591, ""),
        (10, COSINE | {"decay_steps": 700}, 700, "near step 590, and the learning rate is zero at step 700: raise"),
        (10, COSINE | {"decay": "constant"}, 591, ""),  # which is as good at any step
        (None, COSINE, 591, ""),
    ],
)  # fmt: skip
def test_minutes_that_end_too_early_are_told_once(
    make_training: Callable[..., TrainingParameters],
    caplog: pytest.LogCaptureFixture,
    max_minutes: float | None,
    optimizer: dict[str, Any],
    last_step: int,
    expected: str,
) -> None:
    """The first step takes ten seconds more, the others one each."""
    forecast = EndForecast(make_training(max_minutes=max_minutes, optimizer=optimizer), last_step)

    for step in range(20, 300, 20):
        forecast.add(step, 10.0 + step)
        assert not caplog.messages or step >= 120

    assert len(caplog.messages) == bool(expected)
    assert expected in caplog.text
