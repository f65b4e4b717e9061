"""Live logging: the catalog entry `training_log` hands the training node a sink that writes to MLflow."""

import time
from collections.abc import Sequence
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

SAMPLES_FILE = "samples/generated.json"
"""Artifact of a run: a table with one row a generated text."""

METRICS_AT_ONCE = 1000
"""As many as MLflow takes in one request."""


class MlflowTrainingLog:
    """Writes to the MLflow run that is open."""

    @property
    def name(self) -> str:
        """The id of the run."""
        return _active_run_id()

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Log metrics at an optimizer step."""
        import mlflow

        mlflow.log_metrics(metrics, step=step)

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Append generated texts to the run's table."""
        append_samples(samples)

    def take_over(
        self,
        former: str,
        measurements: Sequence[tuple[int, dict[str, float]]],
        samples: Sequence[dict[str, Any]],
    ) -> None:
        """Log what the run of a killed training had logged by its last checkpoint, and name that run in a tag."""
        import mlflow

        now = round(1000 * time.time())
        metrics = [
            mlflow.entities.Metric(name, value, now, step)
            for step, values in measurements
            for name, value in values.items()
        ]
        for start in range(0, len(metrics), METRICS_AT_ONCE):
            mlflow.MlflowClient().log_batch(self.name, metrics[start : start + METRICS_AT_ONCE])
        if samples:
            append_samples(samples)
        mlflow.set_tag("resumed_from", former)


class TrainingLogDataset(AbstractDataset[NoReturn, MlflowTrainingLog]):
    """The sink of the run that `tracking.hooks` has opened; in tests a list stands in for it.

    Args:
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        """Keep the metadata."""
        self.metadata = metadata

    def load(self) -> MlflowTrainingLog:
        """Return the sink.

        Raises:
            DatasetError: If no run is open.
        """
        import mlflow

        if mlflow.active_run() is None:
            raise DatasetError(
                "No MLflow run is open: `training_log` can only be loaded inside a `kedro run`"
            )
        return MlflowTrainingLog()

    def save(self, data: NoReturn) -> None:
        """Refuse: the log is written through its sink."""
        raise DatasetError("`training_log` can't be saved: nodes write through the sink that it loads")

    def _describe(self) -> dict[str, Any]:
        return {"samples": SAMPLES_FILE}


def append_samples(samples: Sequence[dict[str, Any]]) -> None:
    """Append rows to the open run's table of generated texts, but for rows that it has already.

    A pipeline that is started again writes the same texts again: same seed, same text.
    """
    import mlflow
    import pandas as pd

    run_id = _active_run_id()
    new = pd.DataFrame(list(samples))
    if SAMPLES_FILE in {file.path for file in mlflow.MlflowClient().list_artifacts(run_id, "samples")}:
        logged = mlflow.artifacts.load_dict(mlflow.get_run(run_id).info.artifact_uri + "/" + SAMPLES_FILE)
        if set(logged["columns"]) == set(new.columns):
            known = {tuple(row) for row in logged["data"]}
            rows = new[logged["columns"]].astype(object).where(new.notna(), None)
            new = new[[row not in known for row in rows.itertuples(index=False, name=None)]]
    if len(new):
        mlflow.log_table(new, artifact_file=SAMPLES_FILE, run_id=run_id)


def _active_run_id() -> str:
    import mlflow

    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("No MLflow run is open")
    return str(run.info.run_id)
