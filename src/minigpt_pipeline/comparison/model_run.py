"""What is known of trained models' runs, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class RunSummary:
    """What it takes to choose a run.

    Args:
        run_id: 32 hexadecimal digits.
        name: As MLflow shows it; several runs can have the same.
        status: `FINISHED`, `FAILED`, `KILLED` or `RUNNING`.
        started: With its time zone.
    """

    run_id: str
    name: str
    status: str
    started: datetime


@dataclass(frozen=True)
class ModelRun:
    """A run of a trained model, or of one that failed on the way.

    Args:
        summary: Which run.
        seconds: From its start to the end of the last pipeline that wrote to it; None while it goes on.
        parameters: Flattened, by name: `model.embed_dim` and its value; of `evaluation` and `generation` the last ones,
            which the figures were measured with.
        metrics: Last values by name.
        curves: Steps and values by name of the metric, in the order of the steps.
        tags: By name: `git_commit`, `environment`, `device`, `data_digest` and more.
        data_digests: Digests of `train_token_ids`, `validation_token_ids`, `test_token_ids`, where they were read.
        samples: Generated texts: `epoch`, `prompt`, `sample`, `text`, `seed`, the settings of sampling (see
            `SHOWN_SETTINGS`; the runs of 0.2.0 have `temperature`, `top_k` and `top_p` alone), and `readable_text`,
            which those don't have.
    """

    summary: RunSummary
    seconds: float | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    data_digests: dict[str, str] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ComparedRuns:
    """The runs of a page, in the order of its columns; the others are measured against the first.

    Args:
        runs: At least one.
        store: Address of the store they were read from.
        read_at: When; with its time zone.
    """

    runs: Sequence[ModelRun]
    store: str
    read_at: datetime


class ModelRunStore(Protocol):
    """Where runs of models are read from; MLflow in a run, a list in tests."""

    @property
    def address(self) -> str:
        """The store, as messages name it."""

    @property
    def read_at(self) -> datetime:
        """When the store was opened."""

    def list_runs(self) -> list[RunSummary]:
        """Return the runs of models, the newest first."""

    def read_run(self, run_id: str) -> ModelRun:
        """Return all that is known of one of them."""
