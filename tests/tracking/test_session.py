from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from mlflow.entities import Run

from minigpt_pipeline.datasets import StudyDataset
from minigpt_pipeline.search.study_store import StudyError, StudyStore
from minigpt_pipeline.tracking.hooks import TrackingHooks
from minigpt_pipeline.tracking.killed_runs import PROCESS_TAG
from minigpt_pipeline.tracking.session import SessionInfo, TrackedSession

PROJECT = Path(__file__).parents[2]


def search(sweep: dict[str, Any], sweep_study: StudyStore) -> int:
    """Sessions are opened for its pipeline, and none here runs it."""
    raise AssertionError("A session has run a node")


NODE = Node(search, inputs=["params:sweep", "sweep_study"], outputs="num_trials", name="search")


@pytest.fixture
def study(tmp_path: Path) -> StudyStore:
    return StudyStore(tmp_path / "sweep.db")


def open_session(study: StudyStore, seed: int) -> TrackedSession:
    catalog = DataCatalog({"sweep_study": StudyDataset(filepath=str(study.path))})
    session = TrackedSession(SessionInfo("test", "sweep", PROJECT), Pipeline([NODE]), catalog, False)
    session.before_node(NODE, {"params:sweep": {"seed": seed}})
    return session


@pytest.fixture
def search_run(store: str, study: StudyStore) -> Run:
    """The run of a search of another process, which has ended."""
    session = open_session(study, 1)
    run_id = session.run_id
    with study.open({}):
        pass
    session.end("FINISHED")
    mlflow.MlflowClient().set_tag(run_id, PROCESS_TAG, "elsewhere:1:0.00")
    return mlflow.get_run(run_id)


def describe(run: Run) -> list[Any]:
    return [run.info.status, run.info.end_time, run.data.tags, run.data.params]


def test_a_search_that_goes_on_goes_on_with_its_run(search_run: Run, study: StudyStore) -> None:
    session = open_session(study, 2)

    assert session.run_id == search_run.info.run_id
    again = mlflow.get_run(session.run_id)
    assert again.info.status == "RUNNING"
    assert again.data.tags["last.sweep.seed"] == "2"
    assert again.data.tags[PROCESS_TAG] != "elsewhere:1:0.00"
    session.end("FINISHED")


@pytest.mark.parametrize(
    ("error", "is_refused"), [(StudyError("other sweep"), True), (ValueError("no time"), False)]
)
def test_a_search_that_is_refused_leaves_its_run_as_it_was(
    search_run: Run, study: StudyStore, error: Exception, is_refused: bool
) -> None:
    hooks = TrackingHooks()
    hooks._session = open_session(study, 2)

    hooks.on_pipeline_error(error)

    assert mlflow.active_run() is None
    again = mlflow.get_run(search_run.info.run_id)
    assert (describe(again) == describe(search_run)) is is_refused
    assert again.info.status == ("FINISHED" if is_refused else "FAILED")


def test_a_refused_search_without_a_run_before_has_failed(store: str, study: StudyStore) -> None:
    session = open_session(study, 1)
    run_id = session.run_id

    session.withdraw()

    assert mlflow.get_run(run_id).info.status == "FAILED"


def test_a_second_session_leaves_the_run_of_a_search_at_work_alone(
    search_run: Run, study: StudyStore
) -> None:
    mlflow.MlflowClient().update_run(search_run.info.run_id, status="RUNNING")
    before = mlflow.get_run(search_run.info.run_id)

    with study.open({}), pytest.raises(StudyError, match="Another search is at work"):
        open_session(study, 1)

    assert mlflow.active_run() is None
    assert describe(mlflow.get_run(search_run.info.run_id)) == describe(before)
