"""Live logging of a search: each trial is a child of the run that is open."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.tracking.training_log import MlflowTrainingLog

TRIAL_TAG = "trial"
"""Its number, of a run that is a trial."""
COMMON_TAGS = ("cycle", "environment", "git_commit", "process")
"""What a trial has from the run of its search."""


class MlflowTrialLog(MlflowTrainingLog):
    """Writes to the run of a trial, which is open."""

    def describe(self, facts: Mapping[str, str]) -> None:
        """Set tags."""
        import mlflow

        mlflow.set_tags(dict(facts))


class MlflowSweepLog:
    """Writes to the run of a search, which is open, and to those of its trials."""

    @property
    def environment(self) -> str:
        """What the run says of the session that opened it."""
        return _tags_of_search()["environment"]

    @contextmanager
    def open_trial(self, number: int, parameters: Mapping[str, Any]) -> Iterator[MlflowTrialLog]:
        """Open a child run with the parameters of a trial."""
        import mlflow

        from minigpt_pipeline.tracking.flat_parameters import flatten_parameters
        from minigpt_pipeline.tracking.parameter_logging import log_parameters

        of_search = _tags_of_search()
        common = {name: of_search[name] for name in COMMON_TAGS if name in of_search}
        tags = common | {"pipeline": "sweep", TRIAL_TAG: str(number)}
        with mlflow.start_run(run_name=f"trial {number}", nested=True, tags=tags, log_system_metrics=False):
            for group, value in parameters.items():
                log_parameters(flatten_parameters(group, value))
            try:
                yield MlflowTrialLog()
            except KeyboardInterrupt:
                mlflow.end_run("KILLED")  # MLflow would call it FAILED
                raise

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Log metrics at the number of a trial."""
        import mlflow

        mlflow.log_metrics(metrics, step=step)


def _tags_of_search() -> dict[str, str]:
    import mlflow

    tags: dict[str, str] = mlflow.get_run(mlflow.active_run().info.run_id).data.tags
    return tags


class SweepLogDataset(AbstractDataset[NoReturn, MlflowSweepLog]):
    """The sink of the run that `tracking.hooks` has opened; in tests a list stands in for it.

    Args:
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        """Keep the metadata."""
        self.metadata = metadata

    def load(self) -> MlflowSweepLog:
        """Return the sink.

        Raises:
            DatasetError: If no run is open.
        """
        import mlflow

        if mlflow.active_run() is None:
            raise DatasetError("No MLflow run is open: `sweep_log` can only be loaded inside a `kedro run`")
        return MlflowSweepLog()

    def save(self, data: NoReturn) -> None:
        """Refuse: the log is written through its sink."""
        raise DatasetError("`sweep_log` can't be saved: the search writes through the sink that it loads")

    def _describe(self) -> dict[str, Any]:
        return {"trials": "child runs"}
