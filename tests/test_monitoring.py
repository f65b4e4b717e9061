"""What a server has served, from its lines to MLflow, as an operator runs it."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from mlflow.entities import Run

from minigpt_pipeline import cli
from minigpt_pipeline.serving.watch import Watch
from tests.served import make_text

pytestmark = pytest.mark.slow

DATA = "data/test"
CANARY = "xylophonecanary"


@pytest.fixture(scope="module")
def project(make_project: Callable[[str], Path]) -> Path:
    """A project that has token ids of the embedded corpus, and texts of two versions that were served."""
    project = make_project("monitoring")
    bootstrap_project(project)
    with KedroSession.create(project, env="test") as session:
        session.run(pipeline_names=["data"])
    serve(project, 150, unknown_tokens=0)
    return project


def serve(project: Path, num_texts: int, log_texts: bool = False, data: str = DATA, **changes: Any) -> None:
    """Let a server say what it has served now."""
    watch = Watch(project / "data/01_raw/served", keep_days=30, log_texts=log_texts)
    watch.put_in_use("minigpt", "3", data)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    words = {"prompt": f"the {CANARY}", "text": f"the {CANARY} sings"}
    calm = {"seq_rep_4": 0.0, "distinct_2": 1.0}
    for number in range(num_texts):
        watch.answered(make_text(at=at, request_id=str(number), data=data, **words | calm | changes))
    watch.refused(429, "overloaded")
    watch.close()


def run_command(project: Path, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Do what `kedro run` does, and return what it prints."""
    monkeypatch.chdir(project)
    bootstrap_project(project)
    result = CliRunner().invoke(cli.run, ["--env", "test", "--pipelines", "monitoring", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def list_runs(project: Path) -> list[Run]:
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    return mlflow.search_runs(
        experiment_names=["minigpt"], filter_string="tags.pipeline = 'monitoring'", output_format="list"
    )


def test_a_run_logs_what_was_served_and_not_what_people_wrote(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(project, 10, data="data")  # of another environment
    printed = run_command(project, monkeypatch=monkeypatch)

    report = json.loads((project / DATA / "08_reporting/monitoring_report.json").read_text())
    figures = report["figures"]["all"]
    assert (figures["texts"], figures["requests"], report["warnings"]) == (150, 151, [])
    assert 0 <= figures["training_unk_rate"] < 0.01
    run = list_runs(project)[0]
    assert {name: value for name, value in run.data.metrics.items() if name != "served/warnings"} == {
        f"served/{name}": pytest.approx(value) for name, value in figures.items()
    }
    assert run.data.tags["environment"] == "test"
    files = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "monitoring")}
    assert files == {"monitoring/monitoring_report.json", "monitoring/monitoring.html"}
    assert "150 texts of 151 requests since" in printed
    assert "monitoring.html" in printed
    with_canary = [
        path for path in project.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert with_canary == []


def test_warnings_are_told_and_fail_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = run_command(
        project, "--params", "monitoring.bounds.max_seconds_p95=0.5,monitoring.window_hours=null",
        monkeypatch=monkeypatch,
    )  # fmt: skip

    assert "! one text in twenty took more than 2.2 s, expected at most 0.5 s: look at" in printed
    run = list_runs(project)[0]
    assert (run.info.status, run.data.metrics["served/warnings"]) == ("FINISHED", 1)


def test_texts_are_shown_where_the_server_was_told_to_keep_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(project, 1, log_texts=True)
    run_command(project, monkeypatch=monkeypatch)

    page = (project / DATA / "08_reporting/monitoring.html").read_text()
    assert f"<strong>the {CANARY}</strong> sings" in page


def test_where_nothing_was_served_there_is_a_line_and_no_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(list_runs(project))
    with caplog.at_level(logging.INFO):
        run_command(project, "--params", "monitoring.window_hours=0.00001", monkeypatch=monkeypatch)

    assert any(
        line.startswith("Nothing was served in the last 1e-05 hours by models trained on data/test")
        for line in caplog.messages
    )
    assert len(list_runs(project)) == before
