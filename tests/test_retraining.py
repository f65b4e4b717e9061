"""`kedro run --pipelines retraining`: what it does again, and what not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project

from minigpt_pipeline import retraining
from minigpt_pipeline.retraining import is_retraining, plan, retrain
from minigpt_pipeline.tracking import keys
from minigpt_pipeline.tracking.lineage import CYCLE_VARIABLE, read_lineage

OPTIONS: dict[str, Any] = {
    "pipelines": ["retraining"], "pipeline": None, "env": "test", "conf_source": None, "params": {}, "tags": (),
    "node_names": (), "to_nodes": [], "from_nodes": [], "from_inputs": [], "to_outputs": [], "namespaces": [],
    "only_missing_outputs": False,
}  # fmt: skip

TEXTS = {"generate_samples", "plot_samples", "measure_quality"}
FIGURES = {"evaluate_model", "plot_calibration"}
PROMOTION = {"decide_promotion", "settle_promotion"}
OF_MODEL = {"train_model", "discard_checkpoints", "plot_loss"} | TEXTS | FIGURES | PROMOTION
OF_DATA = {
    "choose_tokenizer",
    "encode_reviews",
    "count_ngrams",
    "measure_baselines",
    "measure_spellings",
} | OF_MODEL
EVERYTHING = {"read_reviews", "check_reviews", "accept_reviews"} | OF_DATA


@pytest.mark.parametrize(
    ("changed", "is_whole"),
    [
        ({}, True),
        ({"pipelines": [], "pipeline": "retraining"}, True),
        ({"params": {"training.seed": 7}}, True),
        ({"pipelines": ["training"]}, False),
        ({"pipelines": []}, False),
        ({"node_names": ("train_model",)}, False),
        ({"tags": ("slow",)}, False),
        ({"only_missing_outputs": True}, False),
    ],
)
def test_a_retraining_is_asked_for_by_its_name_alone(changed: dict[str, Any], is_whole: bool) -> None:
    assert is_retraining(OPTIONS | changed) is is_whole


def test_a_retraining_together_with_other_pipelines_is_refused() -> None:
    with pytest.raises(ValueError, match="runs alone, not together with comparison, data: run one after"):
        is_retraining(OPTIONS | {"pipelines": ["data", "retraining", "comparison"]})


class Sessions:
    """Stands for Kedro's `run`, and remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any]] = []
        self.cycles: set[str | None] = set()

    def run(self, **options: Any) -> int:
        self.asked.append((options["pipelines"], options["node_names"]))
        self.cycles.add(os.environ.get(CYCLE_VARIABLE))
        return len(self.asked)


@pytest.mark.parametrize(("due", "num_sessions"), [(["train_model"], 2), ([], 1)])
def test_what_is_new_is_taken_in_first_and_then_what_is_due_runs_in_the_same_cycle(
    monkeypatch: pytest.MonkeyPatch, due: list[str], num_sessions: int
) -> None:
    monkeypatch.delenv(CYCLE_VARIABLE, raising=False)
    monkeypatch.setattr(retraining, "plan", lambda _: due)
    sessions = Sessions()

    result = retrain(sessions.run, OPTIONS)

    assert sessions.asked == [(["incoming"], ()), (["retraining"], due)][:num_sessions]
    assert result == (2 if due else None)
    (cycle,) = sessions.cycles
    assert cycle
    assert CYCLE_VARIABLE not in os.environ


def test_whoever_starts_a_retraining_may_name_its_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CYCLE_VARIABLE, "mine")
    monkeypatch.setattr(retraining, "plan", lambda _: ["train_model"])
    sessions = Sessions()

    retrain(sessions.run, OPTIONS)

    assert sessions.cycles == {"mine"}
    assert os.environ[CYCLE_VARIABLE] == "mine"


def start(project: Path, parameters: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", "retraining", "--env", "test"]
    return subprocess.Popen(
        [*command, *(["--params", parameters] if parameters else [])],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(project: Path, parameters: str = "") -> str:
    process = start(project, parameters)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def list_runs(project: Path) -> list[mlflow.entities.Run]:
    """Return the runs of models, and not those that have only looked for new data."""
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'minigpt'")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    return [each for each in runs if each.data.tags["pipeline"] == "retraining"]


def list_reports(run: mlflow.entities.Run) -> list[Path]:
    return list((Path(run.info.artifact_uri.removeprefix("file://")) / "validation").iterdir())


def list_times(project: Path) -> Mapping[Path, int]:
    files = [path for path in (project / "data").rglob("*") if path.is_file()]
    of_incoming = ("incoming", "drift_metrics", "accepted", "quarantine", "new_reviews", ".project")
    kept = [path for path in files if not path.name.startswith(of_incoming)]
    return {path: path.stat().st_mtime_ns for path in kept}


def names_of_what_is_planned() -> set[str]:
    return {node.name for node in (pipelines["retraining"] - pipelines["incoming"]).nodes}


@pytest.fixture(scope="module")
def retrained(make_project: Callable[[str], Path]) -> Path:
    project = make_project("retrained")
    run(project)
    return project


@pytest.fixture
def project(retrained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a retraining has ended, as the working directory; its store is the one that a plan asks."""
    monkeypatch.chdir(retrained)
    bootstrap_project(retrained)
    mlflow.set_tracking_uri(f"sqlite:///{retrained / 'mlflow.db'}")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield retrained
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
def test_without_news_nothing_is_done(project: Path) -> None:
    before, (trained,) = list_times(project), list_runs(project)

    said = run(project)

    lineage = read_lineage(project / "data/test/06_models/trained_model.keras")
    assert lineage is not None
    assert f"Nothing has changed since the cycle {lineage.cycle}" in said
    assert list_times(project) == before
    assert [each.info.run_id for each in list_runs(project)] == [trained.info.run_id]
    assert "test/loss" in trained.data.metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "due"),
    [
        ({}, set()),
        ({"ingestion": {"include_unlabelled": True}}, EVERYTHING),
        ({"validation": {"min_reviews": 1001}}, EVERYTHING - {"read_reviews"}),
        ({"vectorization": {"vocabulary_size": 19_000}}, OF_DATA),
        ({"retraining": {"refresh_vocabulary": True}}, OF_DATA),
        ({"model": {"dropout": 0.2}}, OF_MODEL),
        ({"training": {"optimizer": {"learning_rate": 0.02}}}, OF_MODEL),
        ({"device": "cpu"}, OF_MODEL),
        ({"generation": {"seeds": [7]}}, OF_MODEL),  # its texts are written in training, too
        ({"evaluation": {"batch_size": 32}}, {"measure_baselines"} | FIGURES),
        ({"promotion": {"margin": 0.1}}, PROMOTION),
        ({"comparison": {"texts_per_prompt": 1}, "sweep": {"max_trials": 4}}, set()),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "due",
)
def test_a_parameter_makes_due_what_follows_from_it(
    project: Path, parameters: dict[str, Any], due: set[str]
) -> None:
    assert set(plan(OPTIONS | {"params": parameters})) == due


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "due"),
    [
        ("02_intermediate/raw_reviews.parquet", {"read_reviews"}),
        ("03_primary/reviews.parquet", {"check_reviews", "accept_reviews"}),
        ("04_feature/tokenizer.json", {"choose_tokenizer"}),
        ("05_model_input/test_token_ids.parquet", {"encode_reviews"}),
        ("06_models/trained_model.keras", {"train_model"}),
        ("08_reporting/training_summary.json", {"discard_checkpoints"}),
        ("08_reporting/promotion_decision.json", PROMOTION),
        ("08_reporting/evaluation_metrics.json.lineage.json", {"evaluate_model"}),
        ("08_reporting/loss.png", {"plot_loss"}),
    ],
)
def test_a_file_that_is_gone_makes_due_what_makes_it(project: Path, name: str, due: set[str]) -> None:
    path = project / "data/test" / name
    aside = path.rename(path.with_name("aside"))
    try:
        assert set(plan(OPTIONS)) == due
    finally:
        aside.rename(path)


@pytest.mark.slow
def test_other_reviews_or_other_code_make_everything_due(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project / "data/01_raw/sample_reviews.tar.gz").open("r+b") as archive:
        archive.seek(0, os.SEEK_END)
        size = archive.tell()
        archive.write(b"\0")
        archive.flush()
        assert set(plan(OPTIONS)) == EVERYTHING == names_of_what_is_planned()
        archive.truncate(size)
        archive.flush()
    assert plan(OPTIONS) == []
    monkeypatch.setattr(keys, "__version__", "99.0")
    assert set(plan(OPTIONS)) == EVERYTHING


@pytest.mark.full
def test_what_is_due_goes_on_with_the_run_of_the_model_that_is_there(project: Path) -> None:
    said = run(project, "evaluation.batch_size=32")
    run(project)  # and back

    assert f"3 of {len(EVERYTHING)} nodes are due" in said
    assert "Due: measure_baselines: evaluation.batch_size is 32, it was 64\n" in said
    assert "Due behind them: plot_calibration\n" in said
    assert "3 of 3: plot_calibration" in said
    (trained,) = list_runs(project)
    assert trained.data.tags["last.evaluation.batch_size"] == "64"
    assert plan(OPTIONS) == []


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_killed_retraining_goes_on_with_the_rest_and_comes_to_the_same_end(
    make_project: Callable[[str], Path], read_files: Callable[[Path], dict[str, bytes]]
) -> None:
    parameters = "training.batch_size=64,training.max_steps=60,training.evaluate_every_steps=2"
    killed, expected = make_project("killed"), make_project("left_alone")
    run(expected, parameters)

    process = start(killed, parameters)
    checkpoints = killed / "data/test/06_models/checkpoints"
    while process.poll() is None and not list(checkpoints.glob("*[0-9].checkpoint")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = run(killed, parameters)

    assert process.returncode == -signal.SIGKILL
    assert "Due: train_model: trained_model is not there\n" in said
    assert "encode_reviews" not in said
    assert "Resuming from step " in said
    here, there = read_files(killed), read_files(expected)
    assert {name for name in here | there if here.get(name) != there.get(name)} <= {
        "data/test/08_reporting/promotion_decision.json"  # which has a time
    }
    first, second = list_runs(killed)
    assert second.data.tags["resumed_from"] == first.info.run_id
    assert (first.info.status, second.info.status) == ("KILLED", "FINISHED")
    assert "validation_report.json" in {path.name for path in list_reports(second)}
    assert "nothing is done" in run(killed, parameters)
