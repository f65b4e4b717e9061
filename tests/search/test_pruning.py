import math

import pytest

from minigpt_pipeline.parameters import TrainingParameters
from minigpt_pipeline.search.pruning import losses_at_rungs, share_done
from minigpt_pipeline.search.reporting_log import Look
from tests.search.conftest import BASE


@pytest.mark.parametrize(
    ("max_steps", "max_minutes", "share"), [(40, None, 0.25), (None, 1, 0.5), (40, 1, 0.5), (5, None, 1.0)]
)
def test_a_share_is_of_the_limit_that_comes_first(
    max_steps: int | None, max_minutes: float | None, share: float
) -> None:
    limits = {"max_steps": max_steps, "max_minutes": max_minutes}
    training = TrainingParameters(**BASE["training"] | limits)

    assert math.isclose(share_done(Look(10, 100, 30.0, 1.0), training), share)


@pytest.mark.parametrize(
    ("shares", "losses", "at_rungs"),
    [
        ([0.12], [5.0], {2: 5.0}),  # twentieths
        ([0.1, 0.3], [5.0, 4.0], {3: 4.75, 4: 4.5, 5: 4.25, 6: 4.0}),
        ([0.05, 0.12, 0.21], [6.0, 5.0, 4.1], {3: 4.7, 4: 4.2}),
        ([0.1, 0.12], [5.0, 4.8], {}),
        ([0.9, 1.0, 1.0], [3.0, 2.9, 2.8], {}),
    ],
)
def test_a_trial_has_a_loss_at_each_rung_that_it_passes(
    shares: list[float], losses: list[float], at_rungs: dict[int, float]
) -> None:
    assert losses_at_rungs(shares, losses) == pytest.approx(at_rungs)
