"""Where a search is written to while it goes on."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from minigpt_pipeline.model.training_log import TrainingLog


class TrialLog(TrainingLog, Protocol):
    """The log of one trial's training."""

    def describe(self, facts: Mapping[str, str]) -> None:
        """Write what came of the trial.

        Args:
            facts: Texts by name, such as `trial_state`.
        """


class SweepLog(Protocol):
    """A sink for a search; MLflow in a run, a list in tests."""

    @property
    def environment(self) -> str:
        """The folder of `conf/` that configures the search."""

    def open_trial(self, number: int, parameters: Mapping[str, Any]) -> AbstractContextManager[TrialLog]:
        """Give a trial a log of its own, which ends with the block.

        Args:
            number: Of the trial, from 0.
            parameters: `model` and `training` with all their fields.
        """

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write measurements of the search.

        Args:
            step: Number of the trial.
            metrics: Values by name.
        """
