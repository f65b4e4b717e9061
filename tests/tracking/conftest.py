"""A real MLflow store of each test's own."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An SQLite store with its experiment; MLflow keeps both in globals, which are put back."""
    from minigpt_pipeline.tracking.store import TrackingSettings, connect

    folder = tmp_path_factory.mktemp("store")
    settings = TrackingSettings(
        tracking_uri="sqlite:///mlflow.db",
        artifact_location="mlartifacts",
        experiment="minigpt",
        system_metrics=False,
        system_metrics_interval=1,
    )
    yield connect(settings, folder)
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


@pytest.fixture
def run_id(store: str) -> Iterator[str]:
    """An open run."""
    with mlflow.start_run() as run:
        yield run.info.run_id


@pytest.fixture
def artifacts(run_id: str) -> Path:
    """Where the open run keeps its artifacts."""
    return Path(mlflow.get_artifact_uri().removeprefix("file://"))
