"""MLflow shows a failure that its process could not tell of."""

import mlflow
import pytest

from minigpt_pipeline.processes import describe_process
from minigpt_pipeline.tracking import killed_runs
from minigpt_pipeline.tracking.failed_process import record_failure
from minigpt_pipeline.tracking.killed_runs import PROCESS_TAG

TAGS = {"cycle": "1", "schedule": "nightly", "pipeline": "data", "environment": "test", "git_commit": "0"}


def record(process: str) -> dict[str, str]:
    experiment = mlflow.get_experiment_by_name("minigpt")
    return record_failure(experiment.experiment_id, process, TAGS, "the disk is full")


def test_a_process_that_opened_no_run_has_a_failed_one(store: str) -> None:
    ((run_id, status),) = record("elsewhere:1:0.00").items()

    run = mlflow.get_run(run_id)
    assert (status, run.info.status, run.info.run_name) == ("FAILED", "FAILED", "data test")
    assert run.data.tags.items() >= {**TAGS, "mlflow.note.content": "the disk is full"}.items()
    assert record("elsewhere:1:0.00") == {run_id: "FAILED"}


def test_the_run_of_a_process_that_was_killed_says_so(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow.set_tag(PROCESS_TAG, describe_process())
    monkeypatch.setattr(killed_runs, "has_ended", lambda _: True)

    assert record(describe_process()) == {run_id: "KILLED"}


@pytest.mark.parametrize("status", ["FAILED", "KILLED", "FINISHED"])
def test_a_failed_run_is_made_only_where_none_tells_of_the_failure(store: str, status: str) -> None:
    run = mlflow.start_run()
    mlflow.set_tag(PROCESS_TAG, "elsewhere:1:0.00")
    mlflow.end_run(status)

    statuses = record("elsewhere:1:0.00")

    assert statuses.pop(run.info.run_id) == status
    assert list(statuses.values()) == (["FAILED"] if status == "FINISHED" else [])
