"""An upgrade as a user does it: the project of today over what an earlier version has left, command by command.

Each command does its work, or ends with one message. None loses anything: what it refuses stays, byte by byte.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project
from packaging.version import Version

from minigpt_pipeline import cli, doctor, release
from minigpt_pipeline.model.fingerprint import CODE_FOLDERS
from minigpt_pipeline.tracking.store import connect, read_tracking_settings
from tests.scheduling.test_schedules_at_work import (
    LOOK_OFTEN,
    NEVER,
    at_work,
    configure,
    list_dagster_runs,
    list_mlflow_runs,
)
from tests.servers import answers, find_port, wait_until
from tests.upgrades.conftest import VERSIONS
from tests.upgrades.make_fixture import KILLED, PARAMETERS, PROJECT, read_commits

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

DATA = "data/test"
FIRST_READ = Version("0.3.0")
FIRST_REGISTERED = Version("0.5.0")
FIRST_SCHEDULED = Version("0.5.0")
REFUSAL = "has format version 1, this version of the project reads 4: `kedro run` in the same environment makes this"


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Version:
    return Version(request.param)


@pytest.fixture
def project(version: Version, upgrade: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "MINIGPT_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")  # what is looked for in a table stands on one line
    project = upgrade(str(version))
    monkeypatch.chdir(project)
    bootstrap_project(project)
    return project


def kedro_run(pipelines: str, parameters: str = PARAMETERS) -> Result:
    result = CliRunner().invoke(cli.run, ["--env", "test", "--pipelines", pipelines, "--params", parameters])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def computes_as_today(version: Version) -> bool:
    """Whether the code that a checkpoint is tied to is still that of the version."""
    folders = [f"src/minigpt_pipeline/{folder}" for folder in CODE_FOLDERS]
    compared = ["git", "diff", "--quiet", read_commits()[str(version)], "--", *folders]
    result = subprocess.run(compared, cwd=PROJECT, check=False)
    assert result.returncode in (0, 1)
    return result.returncode == 0


def read_data(project: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (project / DATA).rglob("*") if path.is_file()}


@pytest.mark.parametrize("pipeline", ["evaluation", "generation", "promotion"])
def test_a_pipeline_goes_on_from_the_files_or_refuses_them_untouched(
    project: Path, version: Version, pipeline: str
) -> None:
    before = read_data(project)
    result = kedro_run(pipeline)
    if version >= FIRST_READ:
        assert result.exit_code == 0, result.output
    else:
        assert result.exit_code == 1
        assert REFUSAL in result.output
        assert len(result.output.strip().splitlines()) == 1
        assert before == read_data(project)


def test_data_and_models_are_made_again_over_those_of_before(project: Path) -> None:
    result = kedro_run("data,training")
    assert result.exit_code == 0, result.output


def test_a_retraining_makes_again_what_it_has_to_and_decides(project: Path, version: Version) -> None:
    result = kedro_run("retraining")
    assert result.exit_code == 0, result.output
    assert release.main(["versions"]) == 0


def test_trainings_that_were_killed_begin_anew_where_the_code_was_other(
    project: Path, version: Version, caplog: pytest.LogCaptureFixture
) -> None:
    if version < Version("0.2.0"):
        pytest.skip("this version keeps no checkpoints")
    if version < FIRST_READ:
        assert kedro_run("data").exit_code == 0
    killed = next((project / DATA / "06_models/checkpoints").glob("*.checkpoint"))
    result = kedro_run("training", KILLED.replace("max_steps=400", "max_steps=8"))
    assert result.exit_code == 0, result.output
    begins_anew = f"{killed} can't be used: it belongs to a training with other" in caplog.text
    goes_on = f" of 8: {killed}" in caplog.text
    assert (begins_anew, goes_on) == ((False, True) if computes_as_today(version) else (True, False))


def test_trials_that_were_trained_otherwise_are_refused_and_stay(project: Path, version: Version) -> None:
    study = project / DATA / "07_model_output/sweep.db"
    if not study.exists():
        pytest.skip("this version has no search")
    before = study.read_bytes()
    result = kedro_run("sweep")
    assert result.exit_code == 1
    assert "can't be compared with new ones: go back to what it was" in result.output
    assert study.read_bytes() == before


def test_runs_are_compared(project: Path) -> None:
    result = kedro_run("comparison", 'comparison.runs="last"')
    assert result.exit_code == 0, result.output
    assert (project / "data/08_reporting/comparison.html").is_file()


def test_pages_show_the_runs(project: Path) -> None:
    runs = {run.info.run_id for run in list_mlflow_runs(project)}
    port = find_port()
    command = ["make", f"--file={PROJECT / 'Makefile'}", "--old-file=.venv/installed", "ui", f"PORT={port}"]
    with (project / "ui.log").open("w") as log:
        pages = subprocess.Popen(
            [*command, f"BIN={Path(sys.executable).parent}"], stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), lambda: pages.poll() is None)
        client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name("minigpt")
        assert experiment
        assert runs
        assert {run.info.run_id for run in client.search_runs([experiment.experiment_id])} == runs
    finally:
        os.killpg(pages.pid, signal.SIGINT)
        pages.wait()


def test_schedules_go_on_with_their_runs(project: Path, version: Version) -> None:
    if version < FIRST_SCHEDULED:
        pytest.skip("this version has no schedules")
    before = [run.dagster_run.run_id for run in list_dagster_runs(project)]
    assert before
    configure(project, schedules={"quick": NEVER}, new_data=LOOK_OFTEN)
    with at_work(project) as schedules:
        schedules.wait_for_start()
        schedules.drop("one.txt")
        schedules.wait_for(lambda: len(list_dagster_runs(project)) > len(before))
        assert [run.dagster_run.run_id for run in list_dagster_runs(project)][: len(before)] == before


def test_versions_are_listed_and_gone_back_to(
    project: Path, version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["versions"]) == 0
    told = capsys.readouterr()
    if version < FIRST_REGISTERED:
        assert told.out == ""
        assert release.main(["rollback"]) == 1
        assert "has no previous champion to go back to" in capsys.readouterr().err
        return
    aliases = read_aliases(told.out)
    assert (
        release.main(["rollback", "--version", aliases["previous_champion"], "--reason", "an upgrade"]) == 0
    )
    capsys.readouterr()
    assert release.main(["versions"]) == 0
    assert read_aliases(capsys.readouterr().out)["champion"] == aliases["previous_champion"]


def read_aliases(listed: str) -> dict[str, str]:
    """Return the version that each alias stands beside."""
    return {line.split()[1]: line.split()[0] for line in listed.splitlines() if line[:1].isdigit()}


def test_the_doctor_finds_the_store(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.main([])
    assert "has the experiment minigpt" in " ".join(capsys.readouterr().out.split())


def test_logged_models_write_with_the_code_that_they_bring(project: Path) -> None:
    connect(read_tracking_settings(project, "test"), project)
    models = mlflow.search_logged_models(output_format="list")
    assert models
    code = (
        "import mlflow, pandas, sys; model = mlflow.pyfunc.load_model(sys.argv[1]); "
        "print(model.predict(pandas.DataFrame({'prompt': ['the best scene']}))['text'][0])"
    )
    # A process of its own, which knows nothing of this checkout.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    location = models[-1].artifact_location
    said = subprocess.run(
        [sys.executable, "-P", "-c", code, location],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith("the best scene ")


def test_a_store_that_is_refused_is_read_by_the_version_that_wrote_it(
    project: Path, version: Version
) -> None:
    """MLflow's tables are those of the version: what reads the store today changes none of them."""
    connect(read_tracking_settings(project, "test"), project)
    runs = mlflow.search_runs(experiment_names=["minigpt"])
    assert isinstance(runs, pd.DataFrame)
    assert {"FINISHED"} <= set(runs["status"])
