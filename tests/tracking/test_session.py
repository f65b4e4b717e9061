import itertools
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline
from mlflow.entities import Run

from minigpt_pipeline.datasets import JsonDataset, StudyDataset
from minigpt_pipeline.search.study_store import StudyError, StudyStore
from minigpt_pipeline.tracking.hooks import TrackingHooks
from minigpt_pipeline.tracking.killed_runs import PROCESS_TAG
from minigpt_pipeline.tracking.lineage import (
    CYCLE_VARIABLE,
    Lineage,
    lineage_path,
    read_lineage,
    write_lineage,
)
from minigpt_pipeline.tracking.plan import find_due_nodes
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


def make(raw: Any) -> dict[str, Any]:
    """What the sessions below open for is never run."""
    raise AssertionError("A session has run a node")


def make_stage(*names: str) -> Pipeline:
    pairs = itertools.pairwise(names)
    return Pipeline([Node(make, inputs=read, outputs=made, name=f"make_{made}") for read, made in pairs])


STAGES = make_stage("new_reviews", "raw_reviews", "token_ids", "trained_model", "history", "plot")


class Stages:
    """Sessions for parts of a pipeline, that end at once and leave the lineages of a run."""

    def __init__(self, folder: Path) -> None:
        names = STAGES.datasets()
        self.catalog = DataCatalog(
            {name: JsonDataset(filepath=str(folder / f"{name}.json")) for name in names}
        )

    def run(self, *made: str) -> mlflow.entities.Run:
        pipeline = STAGES.filter(node_names=[f"make_{name}" for name in made])
        session = TrackedSession(SessionInfo("test", "stages", PROJECT), pipeline, self.catalog, False)
        for node in pipeline.nodes:
            session.before_node(node, {})
            session.before_save(node.outputs[0])
            self.catalog[node.outputs[0]].save({})
            session.after_save(node.outputs[0])
        run_id = session.run_id
        session.end("FINISHED")
        return mlflow.get_run(run_id)

    def read_lineage(self, name: str) -> Lineage:
        lineage = read_lineage(self.catalog[name].filepath)
        assert lineage is not None
        return lineage

    def read_cycle(self, name: str) -> str:
        return self.read_lineage(name).cycle


@pytest.fixture
def stages(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    monkeypatch.delenv(CYCLE_VARIABLE, raising=False)
    stages = Stages(tmp_path)
    write_lineage(stages.catalog["new_reviews"].filepath, Lineage("20200101"))
    stages.catalog["new_reviews"].save({})
    return stages


def test_new_data_starts_a_new_cycle_whatever_it_was_made_of(stages: Stages) -> None:
    stages.run("raw_reviews")
    stages.run("token_ids")

    assert stages.read_cycle("raw_reviews") == stages.read_cycle("token_ids") > "20200101"


def test_the_environment_names_the_cycle_but_of_a_model_that_is_there(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CYCLE_VARIABLE, "one")
    stages.run("raw_reviews", "token_ids", "trained_model")
    monkeypatch.setenv(CYCLE_VARIABLE, "two")
    stages.run("token_ids")
    stages.run("history")

    cycles = {name: stages.read_cycle(name) for name in ("raw_reviews", "token_ids", "history")}
    assert cycles == {"raw_reviews": "one", "token_ids": "two", "history": "one"}


def test_what_is_made_of_a_model_goes_on_with_its_run(stages: Stages) -> None:
    trained = stages.run("raw_reviews", "token_ids", "trained_model", "history")

    assert stages.run("plot").info.run_id == trained.info.run_id
    assert stages.run("token_ids").info.run_id != trained.info.run_id
    assert stages.run("trained_model", "plot").info.run_id != trained.info.run_id


def test_one_by_one_or_at_once_the_keys_are_those_of_the_plan(stages: Stages) -> None:
    names = [name for node in STAGES.nodes for name in node.outputs]
    stages.run(*names)
    at_once = [stages.read_lineage(name).key for name in names]

    for name in names:
        stages.run(name)

    assert [stages.read_lineage(name).key for name in names] == at_once
    assert len(set(at_once)) == len(names)
    assert find_due_nodes(STAGES, stages.catalog) == []


def test_a_process_that_is_killed_while_it_saves_leaves_no_key(stages: Stages) -> None:
    stages.run("raw_reviews", "token_ids")
    session = TrackedSession(SessionInfo("test", "stages", PROJECT), STAGES, stages.catalog, False)

    session.before_save("token_ids")

    assert stages.read_lineage("token_ids").key is None
    assert next(node.name for node in find_due_nodes(STAGES, stages.catalog)) == "make_token_ids"
    session.end("KILLED")


def test_files_of_an_earlier_version_are_made_again_and_not_read(stages: Stages) -> None:
    stages.run("raw_reviews", "token_ids")
    for name in ("raw_reviews", "token_ids"):
        path = lineage_path(stages.catalog[name].filepath)
        path.write_text(
            path.read_text().replace('"minigpt_format_version": 4', '"minigpt_format_version": 1')
        )

    assert {"make_raw_reviews", "make_token_ids"} <= {
        node.name for node in find_due_nodes(STAGES, stages.catalog)
    }
    with pytest.raises(DatasetError, match=r"has format version 1, .*docs/upgrading.md"):
        stages.run("token_ids")
    stages.run("raw_reviews", "token_ids")
    assert stages.read_lineage("token_ids").key is not None


def test_a_model_gets_the_reports_of_its_data_whatever_cycle_made_them(
    stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_report = {"mlflow": {"log_as": "artifact", "folder": "validation"}}
    for name in ("raw_reviews", "token_ids"):
        stages.catalog[name].metadata = as_report
    other = JsonDataset(filepath=str(tmp_path / "other.json"), metadata=as_report)
    other.save({})
    write_lineage(other.filepath, Lineage("one", key="of something else"))
    stages.catalog["other"] = other

    for cycle, names in (("one", ["raw_reviews"]), ("two", ["token_ids"]), ("three", ["trained_model"])):
        monkeypatch.setenv(CYCLE_VARIABLE, cycle)
        run = stages.run(*names)

    logged = mlflow.MlflowClient().list_artifacts(run.info.run_id, "validation")
    assert [file.path for file in logged] == ["validation/raw_reviews.json", "validation/token_ids.json"]
