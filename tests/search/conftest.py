"""A search whose trainings are formulas."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.parameters import ModelParameters, SweepParameters, TrainingParameters
from minigpt_pipeline.search.search import Search
from minigpt_pipeline.search.study_store import StudyStore
from tests.conftest import ListLog

BASE: dict[str, Any] = {
    "model": {
        "sequence_length": 8,
        "embed_dim": 12,
        "num_heads": 2,
        "head_dim": None,
        "feed_forward_dim": 8,
        "num_blocks": 1,
        "dropout": 0.1,
        "output_layer": "full",
        "rare_word_dim": None,
    },
    "training": {
        "seed": 1,
        "batch_size": 8,
        "epochs": 3,
        "max_steps": None,
        "max_minutes": None,
        "optimizer": {"name": "adam", "learning_rate": 0.001, "decay": "constant", "decay_steps": None},
        "log_every_steps": 5,
        "evaluate_every_steps": 5,
        "sample_every_epochs": 1,
        "checkpoint_every_minutes": None,
        "checkpoint_every_steps": None,
    },
}
SWEEP: dict[str, Any] = {
    "seed": 7,
    "max_minutes": 60,
    "max_trials": 12,
    "random_trials": 4,
    "trial": {"max_steps": 10, "max_minutes": None, "evaluate_every_steps": 1, "timed_steps": None},
    "pruning": None,
    "space": [
        {"name": "training.optimizer.learning_rate", "low": 0.0001, "high": 0.1, "log": True},
        {"name": "model.num_heads", "choices": [1, 2, 3]},
        {"name": "model.dropout", "low": 0.0, "high": 0.4, "step": 0.1},
    ],
}


class ListTrialLog(ListLog):
    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, str] = {}

    def describe(self, facts: Mapping[str, str]) -> None:
        self.facts |= facts


class ListSweepLog:
    """A `SweepLog` that remembers."""

    environment = "test"

    def __init__(self) -> None:
        self.trials: dict[int, ListTrialLog] = {}
        self.best: list[float] = []

    @contextmanager
    def open_trial(self, number: int, parameters: Mapping[str, Any]) -> Iterator[ListTrialLog]:
        self.trials[number] = ListTrialLog()
        yield self.trials[number]

    def log(self, step: int, metrics: dict[str, float]) -> None:
        self.best.append(metrics["sweep/best_loss"])


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def take_looks(
    model: ModelParameters, training: TrainingParameters, log: TrainingLog, clock: Clock | None = None
) -> float:
    """Learn the more, the nearer the learning rate is to 0.01; a step takes a second of the clock."""
    loss = 9.0
    for step in range(1, (training.max_steps or 10) + 1):
        loss -= 0.1 / (1 + 100 * abs(training.optimizer.learning_rate - 0.01))
        if clock:
            clock.seconds += 1
        log.log(step, {"train/seconds": float(step)})
        log.log(step, {"val/loss": loss + model.dropout, "train/words": 10 * step})
    return loss + model.dropout


RunSearch = Callable[..., ListSweepLog]


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    return StudyStore(tmp_path / "sweep.db")


@pytest.fixture
def run_search(store: StudyStore) -> RunSearch:
    def run(train: Any = take_looks, clock: Clock | None = None, **changed: Any) -> ListSweepLog:
        log = ListSweepLog()
        sweep = SweepParameters(**SWEEP | changed)
        with store.open({}) as study:
            Search(study, sweep, BASE, train, log, clock=clock or Clock()).run()
        return log

    return run
