"""`make tidy`: what goes of a project, and what it says."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from minigpt_pipeline.model.checkpoint import Checkpoint, write_checkpoint
from minigpt_pipeline.project_lock import holding
from minigpt_pipeline.retention_policy import SECONDS_OF_A_DAY, read_retention
from minigpt_pipeline.tidy import find_data, find_needed_runs, main, tidy, tidy_behind
from minigpt_pipeline.tracking.lineage import Lineage, lineage_path, write_lineage

NOTHING = "runs: {keep: 0, days: 0}\nmodels: {keep: 0, days: 0}\nquarantine: {keep: 1, days: 10}\n"


@pytest.fixture
def project(
    make_project: Callable[[str], Path], store: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A project whose store has two runs, and that keeps as little as can be."""
    project = make_project("tidied")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(project)
    (project / "conf/local").mkdir(exist_ok=True)
    (project / "conf/local/retention.yml").write_text(NOTHING)
    experiment = mlflow.get_experiment_by_name("minigpt")
    for _ in range(2):
        run = MlflowClient().create_run(experiment.experiment_id)
        MlflowClient().log_text(run.info.run_id, "a text", "text.txt")
        MlflowClient().set_terminated(run.info.run_id)
    return project


def list_runs() -> list[str]:
    (experiment,) = MlflowClient().search_experiments(filter_string="name = 'minigpt'")
    return [run.info.run_id for run in MlflowClient().search_runs([experiment.experiment_id])]


def test_a_dry_run_says_what_goes_and_leaves_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = list_runs()

    assert main(["--dry-run"]) == 0

    said = capsys.readouterr().out
    assert all(f"run {run_id}: 0.0 days old, FINISHED, and not among the newest" in said for run_id in before)
    assert "Would remove: 2 runs, 0.0 MB" in said
    assert list_runs() == before


def test_what_the_files_of_a_project_come_from_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reviews = project / "data/test/06_models/trained_model.keras"
    reviews.parent.mkdir(parents=True)
    reviews.touch()
    kept, gone = list_runs()
    write_lineage(reviews, Lineage("cycle", kept))
    damaged = project / "data/test/06_models/other"
    damaged.touch()
    lineage_path(damaged).write_text("[")

    assert main([]) == 0

    assert list_runs() == [kept]
    assert f"run {gone}:" in capsys.readouterr().out
    assert main([]) == 0
    assert "Removed: nothing" in capsys.readouterr().out


def test_a_training_that_goes_on_keeps_the_run_that_it_began_in(project: Path) -> None:
    checkpoint = project / "data/06_models/checkpoints/000001.checkpoint"
    checkpoint.parent.mkdir(parents=True)
    write_checkpoint(checkpoint, Checkpoint(1, {"record": {"log": "a run"}}, {}), {})

    assert find_needed_runs(find_data(project)) == {
        "a run": "the checkpoint 000001.checkpoint goes on with it"
    }
    checkpoint.write_bytes(b"damaged")
    assert find_needed_runs(find_data(project)) == {}


def test_of_refused_batches_the_newest_stay_and_accepted_ones_all(project: Path) -> None:
    for place in ("data/test/01_raw/quarantine", "data/test/01_raw/accepted"):
        for age in (1, 20, 30):
            folder = project / place / f"{age}"
            (folder / "original").mkdir(parents=True)
            (folder / "original/one.txt").write_text("A fine film.")
            os.utime(folder, (time.time() - age * SECONDS_OF_A_DAY,) * 2)

    removal = tidy(project, "test", read_retention(project))

    assert [batch.name for batch in removal.batches] == ["30", "20"]
    assert sorted(path.name for path in (project / "data/test/01_raw/quarantine").iterdir()) == ["1"]
    assert len(list((project / "data/test/01_raw/accepted").iterdir())) == 3


def test_it_waits_for_nobody(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holding(project, ["--env", "test"], "test"):
        assert main([]) == 1

    assert "is at work in this project, and nothing was changed" in capsys.readouterr().err
    assert len(list_runs()) == 2


def test_a_wrong_setting_is_named_before_anything_goes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "conf/local/retention.yml").write_text("runs: {days: soon}")

    assert main([]) == 1

    assert "Error: runs.days='soon': " in capsys.readouterr().err


def test_a_store_that_fails_is_told_and_the_run_before_keeps_its_success(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise mlflow.MlflowException("Permission denied")

    monkeypatch.setattr(MlflowClient, "delete_run", fail)
    caplog.set_level("INFO")

    tidy_behind(project, "test", read_retention(project))

    assert caplog.messages[-1] == (
        "What is old could not be removed, and the next retraining tries again: Permission denied"
    )
    monkeypatch.undo()
    tidy_behind(project, "test", read_retention(project))
    assert list_runs() == []


def test_a_server_hides_them_and_that_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "minigpt_pipeline.tracking.removal.SqlAlchemyStore", type("NoDatabase", (), {})
    )  # as a server's store is none
    caplog.set_level("INFO")

    tidy_behind(project, "test", read_retention(project))

    assert caplog.messages == [
        "Removed what conf/base/retention.yml does not keep: 2 runs, 0.0 MB",
        "On MLflow's server they are hidden: `mlflow gc` there removes them for good",
    ]
    assert list_runs() == []


def test_every_environment_of_the_project_is_looked_at(project: Path) -> None:
    places = {path.relative_to(project).as_posix() for path in find_data(project)}

    assert {"data", "data/test", "data/sample"} <= places
