import json
from pathlib import Path

import mlflow
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.tracking import TrainingLogDataset
from minigpt_pipeline.tracking.training_log import append_samples

ROW = {
    "epoch": 1,
    "prompt": "a",
    "sample": 0,
    "text": "a b",
    "ended": False,
    "temperature": 1.0,
    "top_k": 10,
    "top_p": 0.9,
    "seed": 0,
}


def read_rows(artifacts: Path) -> list[list[object]]:
    return json.loads((artifacts / "samples/generated.json").read_text())["data"]


def test_metrics_are_logged_with_their_step(run_id: str) -> None:
    log = TrainingLogDataset().load()

    log.log(10, {"train/loss": 5.0})
    log.log(20, {"train/loss": 4.0})

    history = mlflow.MlflowClient().get_metric_history(run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(10, 5.0), (20, 4.0)]


def test_samples_are_appended(run_id: str, artifacts: Path) -> None:
    log = TrainingLogDataset().load()

    log.log_samples([ROW])
    log.log_samples([ROW | {"epoch": 2}])

    assert [row[0] for row in read_rows(artifacts)] == [1, 2]


@pytest.mark.parametrize("settings", [{}, {"top_k": None}, {"top_p": None}])
def test_samples_that_are_there_are_not_appended_again(
    run_id: str, artifacts: Path, settings: dict[str, None]
) -> None:
    append_samples([ROW | settings])
    append_samples([ROW | settings, ROW | {"seed": 1} | settings])

    assert [row[-1] for row in read_rows(artifacts)] == [0, 1]


def test_samples_that_are_there_with_columns_in_another_order_are_not_appended_again(
    run_id: str, artifacts: Path
) -> None:
    append_samples([dict(reversed(ROW.items()))])
    append_samples([ROW, ROW | {"seed": 1}])

    assert [row[0] for row in read_rows(artifacts)] == [0, 1]


def test_load_needs_an_open_run(store: str) -> None:
    with pytest.raises(DatasetError, match="No MLflow run is open"):
        TrainingLogDataset().load()


def test_what_a_killed_run_had_logged_is_taken_over_in_few_requests(
    run_id: str, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []
    log_batch = mlflow.MlflowClient.log_batch

    def count(self: mlflow.MlflowClient, run_id: str, metrics: list[object]) -> None:
        requests.append(len(metrics))
        log_batch(self, run_id, metrics)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", count)
    log = TrainingLogDataset().load()
    log.take_over(
        "0a1b", [(step, {"train/loss": 1 / step, "val/loss": 2.0}) for step in range(1, 702)], [ROW]
    )

    history = mlflow.MlflowClient().get_metric_history(run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(step, 1 / step) for step in range(1, 702)]
    assert requests == [1000, 402]
    assert len(read_rows(artifacts)) == 1
    assert mlflow.get_run(run_id).data.tags["resumed_from"] == "0a1b"


def test_a_log_is_named_by_its_run(run_id: str) -> None:
    assert TrainingLogDataset().load().name == run_id
