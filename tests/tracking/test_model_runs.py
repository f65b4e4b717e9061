"""Runs as a training leaves them in a store on disk, read back as plain data."""

import math

import mlflow
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.tracking import ModelRunsDataset
from minigpt_pipeline.tracking.model_runs import MlflowModelRuns
from minigpt_pipeline.tracking.parameter_logging import log_parameters
from minigpt_pipeline.tracking.training_log import append_samples

ROW = {
    "epoch": 1, "prompt": "a", "sample": 0, "text": "a b", "temperature": 1.0, "top_k": 10, "top_p": None, "seed": 0
}  # fmt: skip


def fail_training(name: str) -> str:
    """Log what a training logs that failed before its first measurement."""
    with mlflow.start_run(run_name=name) as run:
        mlflow.log_params({"model.embed_dim": 16, "training.seed": 42})
    mlflow.MlflowClient().set_terminated(run.info.run_id, "FAILED")
    return str(run.info.run_id)


def test_runs_of_models_are_listed_and_read_also_where_nothing_came_of_them(store: str) -> None:
    older, newer = fail_training("older"), fail_training("newer")
    with mlflow.start_run(run_name="ingestion"):
        mlflow.log_param("ingestion.include_unlabelled", False)
    with mlflow.start_run(run_name="trial 0", tags={"pipeline": "sweep"}):
        mlflow.log_param("model.embed_dim", 16)

    with mlflow.start_run(run_name="comparison"):
        model_runs = ModelRunsDataset().load()
        listed, read = model_runs.list_runs(), model_runs.read_run(newer)

    assert [(run.run_id, run.name, run.status) for run in listed] == [
        (newer, "newer", "FAILED"), (older, "older", "FAILED")
    ]  # fmt: skip
    assert listed[1].started <= listed[0].started <= model_runs.read_at
    assert read.summary == listed[0]
    assert read.seconds is not None
    assert read.seconds >= 0
    assert (read.metrics, read.curves, read.data_digests, read.samples) == ({}, {}, {}, [])


def test_read_run_gives_all_that_people_compare(run_id: str) -> None:
    log_parameters({"model.embed_dim": "16", "generation.sampling.temperature": "1.0"})
    log_parameters({"generation.sampling.temperature": "0.5"})
    mlflow.log_metric("val/loss", 4.0, step=20)
    mlflow.log_metric("val/loss", math.inf, step=30)
    mlflow.log_metric("val/loss", 5.0, step=10)
    mlflow.log_metric("system/cpu", 50.0)
    mlflow.set_tag("git_commit", "0a1b")
    mlflow.log_input(mlflow.data.meta_dataset.MetaDataset(
        mlflow.data.http_dataset_source.HTTPDatasetSource("http://127.0.0.1"), name="test_token_ids", digest="70f6"
    ))  # fmt: skip
    append_samples([ROW, ROW | {"seed": 1, "text": "a c"}])

    run = ModelRunsDataset().load().read_run(run_id)

    assert (run.summary.run_id, run.seconds) == (run_id, None)
    assert run.parameters == {"model.embed_dim": "16", "generation.sampling.temperature": "0.5"}
    assert run.metrics == {"val/loss": math.inf}
    assert run.curves == {"val/loss": [(10, 5.0), (20, 4.0), (30, math.inf)]}
    assert run.tags == {"git_commit": "0a1b", "last.generation.sampling.temperature": "0.5"}
    assert run.data_digests == {"test_token_ids": "70f6"}
    assert run.samples == [ROW, ROW | {"seed": 1, "text": "a c"}]


def test_the_address_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://user:secret@127.0.0.1:9")

    assert MlflowModelRuns("0").address == "http://user:***@127.0.0.1:9"


def test_load_needs_an_open_run() -> None:
    with pytest.raises(DatasetError, match="No MLflow run is open"):
        ModelRunsDataset().load()


def test_save_is_refused() -> None:
    with pytest.raises(DatasetError, match="`model_runs` can't be saved"):
        ModelRunsDataset().save({})  # type: ignore[arg-type]
