"""Runs of models as plain data: the catalog entry `model_runs` hands a node what reads them from MLflow."""

import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.comparison.model_run import ModelRun, RunSummary
from minigpt_pipeline.tracking.training_log import SAMPLES_FILE

if TYPE_CHECKING:
    from mlflow.entities import Run

MODEL_PARAMETERS = "model."
"""A run has parameters of this group as soon as the training of a model begins."""

SYSTEM_METRICS = "system/"
"""What MLflow measures of the machine; nothing that models are compared by."""


class MlflowModelRuns:
    """Reads the runs of one experiment; see `ModelRunStore`.

    Args:
        experiment_id: Which.
    """

    def __init__(self, experiment_id: str) -> None:
        """Look at the clock; nothing is read before it is asked for."""
        self._experiment_id = experiment_id
        self.read_at = datetime.now(UTC)

    @property
    def address(self) -> str:
        """The store's address, without a password."""
        import mlflow

        from minigpt_pipeline.hidden import hide_password

        return hide_password(mlflow.get_tracking_uri())

    def list_runs(self) -> list[RunSummary]:
        """Return the runs of models, the newest first; a search and its trials leave none."""
        import mlflow

        runs = mlflow.search_runs(
            [self._experiment_id], order_by=["attributes.start_time DESC"], output_format="list"
        )
        return [
            _summarize(run)
            for run in runs
            if run.data.tags.get("pipeline") != "sweep"
            and any(name.startswith(MODEL_PARAMETERS) for name in run.data.params)
        ]

    def read_run(self, run_id: str) -> ModelRun:
        """Return parameters, metrics with their history, tags, data and texts of a run."""
        import mlflow

        from minigpt_pipeline.tracking.parameter_logging import read_parameters

        run = mlflow.get_run(run_id)
        started, ended = run.info.start_time, run.info.end_time
        names = [name for name in run.data.metrics if not name.startswith(SYSTEM_METRICS)]
        return ModelRun(
            _summarize(run),
            seconds=(ended - started) / 1000 if ended else None,
            parameters=read_parameters(run.data.params, run.data.tags),
            metrics={name: _to_float(run.data.metrics[name]) for name in names},
            curves={name: list(_read_curve(run_id, name)) for name in names},
            tags={name: text for name, text in run.data.tags.items() if not name.startswith("mlflow.")},
            data_digests={entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs},
            samples=_read_samples(run),
        )


def _summarize(run: "Run") -> RunSummary:
    info = run.info
    started = datetime.fromtimestamp(info.start_time / 1000, UTC)
    return RunSummary(info.run_id, info.run_name, info.status, started)


def _read_curve(run_id: str, name: str) -> Iterator[tuple[int, float]]:
    import mlflow

    history = mlflow.MlflowClient().get_metric_history(run_id, name)
    for metric in sorted(history, key=lambda metric: (metric.step, metric.timestamp)):
        yield metric.step, _to_float(metric.value)


def _to_float(value: float) -> float:
    """Return a metric as it was logged: an SQL store keeps the largest number in place of infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _read_samples(run: "Run") -> list[dict[str, Any]]:
    import mlflow

    if SAMPLES_FILE not in {
        file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "samples")
    }:
        return []
    table = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{SAMPLES_FILE}")
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


class ModelRunsDataset(AbstractDataset[NoReturn, MlflowModelRuns]):
    """The runs of models in the experiment that `tracking.hooks` has opened; in tests a list stands in for them.

    Args:
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        """Keep the metadata."""
        self.metadata = metadata

    def load(self) -> MlflowModelRuns:
        """Return what reads them.

        Raises:
            DatasetError: If no run is open.
        """
        import mlflow

        run = mlflow.active_run()
        if run is None:
            raise DatasetError("No MLflow run is open: `model_runs` can only be loaded inside a `kedro run`")
        return MlflowModelRuns(run.info.experiment_id)

    def save(self, data: NoReturn) -> None:
        """Refuse: runs are written by those who train."""
        raise DatasetError("`model_runs` can't be saved: a run is written while its model is trained")

    def _describe(self) -> dict[str, Any]:
        return {"samples": SAMPLES_FILE}
