"""When a trial is given up: models that differ in speed are compared at equal shares of their trainings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minigpt_pipeline.parameters import PruningParameters, TrainingParameters
from minigpt_pipeline.search.reporting_log import Look

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

RUNGS = 20
"""Parts of a trial at whose ends it is compared with others; steps of models that differ in speed don't compare."""


def make_pruner(pruning: PruningParameters | None) -> "BasePruner":
    """Return the median rule of Vizier (Golovin et al., 2017), which a search of tens of trials has use of.

    Hyperband (Li et al., 2018) divides its trials among brackets, most of which end after a small share of their
    training: a learning rate that falls to zero shows what it is worth only at its end.
    """
    from optuna.pruners import MedianPruner, NopPruner

    if pruning is None:
        return NopPruner()
    return MedianPruner(
        n_startup_trials=pruning.first_trials,
        n_warmup_steps=round(RUNGS * pruning.first_share),
        n_min_trials=pruning.first_trials,  # a slow trial has no loss before its first look
    )


def share_done(measured: Look, training: TrainingParameters) -> float:
    """Return how much of its limit a trial has used, from 0 to 1."""
    steps = measured.step / training.max_steps if training.max_steps else 0.0
    minutes = measured.seconds / (60 * training.max_minutes) if training.max_minutes else 0.0
    return min(1.0, max(steps, minutes))


def losses_at_rungs(shares: Sequence[float], losses: Sequence[float]) -> dict[int, float]:
    """Return the losses of a trial at the rungs that it has passed since the look before the last.

    Whatever the share between its looks, a trial has a loss at each rung, on the straight line between the looks beside
    it. The first look tells the rung below it.

    Args:
        shares: Of its limit, at each look.
        losses: Measured there, in nats per word.
    """
    last = int(RUNGS * shares[-1])
    first = int(RUNGS * shares[-2]) + 1 if len(shares) > 1 else last
    return {rung: float(np.interp(rung / RUNGS, shares, losses)) for rung in range(first, last + 1)}
