"""`make versions` and `make rollback`, on a store with three tiny models."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.framework.startup import bootstrap_project
from mlflow import MlflowClient

from minigpt_pipeline.model.saved_model import save_trained_model
from minigpt_pipeline.model_versions import CHAMPION, PREVIOUS_CHAMPION, Trial
from minigpt_pipeline.release import describe, main
from minigpt_pipeline.tracking.model_logging import log_model
from minigpt_pipeline.tracking.model_registry import MODEL_FILE, ModelRegistry
from minigpt_pipeline.tracking.model_versions import MlflowModelVersion
from minigpt_pipeline.tracking.store import connect, read_tracking_settings
from tests.made_up_films import KNOWN, SUBWORDS, WORDS, expect


@pytest.fixture
def empty(
    make_project: Callable[[str], Path], empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A project, and the folder where commands are given."""
    project = make_project("release")
    for name in ("MLFLOW_TRACKING_URI", "MINIGPT_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(project)
    # This sets logging up, and closes a stream of absl's: before `capsys` takes the one of pytest away.
    bootstrap_project(project)
    shutil.copy(empty_database, project / "mlflow.db")
    connect(read_tracking_settings(project, "test"), project)
    yield project
    mlflow.set_tracking_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture
def project(empty: Path) -> Path:
    """Version 2 is in use, version 1 was before it, version 3 knows none of the words `this movie`."""
    registry = ModelRegistry("minigpt")
    for tokenizer in (SUBWORDS, SUBWORDS, WORDS):
        path = empty / "trained_model.keras"
        save_trained_model(path, expect({"film": 1.0}, tokenizer) if tokenizer is SUBWORDS else expect(KNOWN))
        with mlflow.start_run() as run:
            mlflow.set_tag("environment", "test")
            log_model(path)
        registry.register(run.info.run_id)
    registry.promote("1", None)
    registry.promote("2", "1")
    registry.dismiss("3")
    return empty


def list_aliases() -> dict[str, str]:
    return ModelRegistry("minigpt").aliases()


def read_records(version: str) -> list[Any]:
    run_id = MlflowClient().get_model_version("minigpt", version).run_id
    files = [file.path for file in MlflowClient().list_artifacts(run_id, "promotion")]
    return [mlflow.artifacts.load_dict(f"runs:/{run_id}/{path}") for path in files]


BEFORE = {CHAMPION: "2", PREVIOUS_CHAMPION: "1"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions that were tried out; all of them work."""
    asked: list[str] = []

    def try_out(version: MlflowModelVersion, prompts: list[str]) -> Trial:
        assert prompts == ["the best scene", "this movie", "i was surprised by"]
        asked.append(version.number)
        return Trial(seconds_per_text=0.1, megabytes=1.0)

    monkeypatch.setattr(MlflowModelVersion, "try_out", try_out)
    return asked


def test_versions_are_listed_with_what_was_decided(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decision = {
        "decided_at": "2026-11-26 12:00:00 UTC",
        "decision_reasons": "Version 2 is better [than] version 1",
        "decision_figures": '{"1": {"perplexity": 12.5}, "2": {"perplexity": 11.25}}',
        "decision": "promoted",
    }
    ModelRegistry("minigpt").record("2", decision)

    assert main(["versions"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "3  of test",
        "2  champion  promoted 2026-11-26 12:00:00 UTC  perplexity 11.25  of test",
        "   Version 2 is better [than] version 1",
        "1  previous_champion  of test",
    ]


def test_a_version_that_was_put_in_use_again_shows_its_own_figures() -> None:
    tags = {
        "decided_at": "2026-11-26 12:00:00 UTC",
        "decision_figures": '{"1": {"perplexity": 12.5}, "3": {"perplexity": null}}',
        "decision": "restored",
    }

    assert "perplexity 12.50" in next(describe("1", "champion", tags))
    assert "perplexity" not in next(describe("3", "", tags))


@pytest.mark.parametrize(
    ("options", "version", "reason", "previous"),
    [
        ([], "1", "by hand", "2"),
        (["--version", "", "--reason", ""], "1", "by hand", "2"),  # as `make rollback` without either
        (["--version", "3", "--reason", "complaints"], "3", "complaints", "2"),
    ],
)
def test_going_back_is_recorded(
    options: list[str],
    version: str,
    reason: str,
    previous: str,
    project: Path,
    asked: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rollback", *options]) == 0

    said = f"Version {version} of minigpt is in use, in place of version 2"
    assert said in capsys.readouterr().out
    assert list_aliases() == {CHAMPION: version, PREVIOUS_CHAMPION: previous}
    assert asked == [version]
    (record,) = read_records(version)
    assert record["outcome"] == "rolled back"
    assert (record["champion"], record["former_champion"], record["reasons"]) == (version, "2", [reason])
    assert record["git_commit"]
    told = f"{record['decided_at']}: from version 2 to version {version}, {reason}"
    for number in (version, "2"):
        assert MlflowClient().get_model_version("minigpt", number).tags["rollback"] == told
    assert main(["versions"]) == 0
    assert capsys.readouterr().out.count(f"   {told}\n") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--version", "9"], "Error: minigpt has no version 9, only 1, 2, 3"),
        (["--version", "2"], "Error: Version 2 of minigpt is in use already"),
    ],
)
def test_what_can_not_be_gone_back_to_is_named_and_nothing_changes(
    options: list[str], message: str, project: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollback", *options]) == 1

    assert capsys.readouterr().err == f"{message}\n"
    assert (list_aliases(), asked) == (BEFORE, [])


def test_without_a_previous_champion_a_version_must_be_named(
    empty: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollback"]) == 1
    assert "no previous champion to go back to: name a version, one of none" in capsys.readouterr().err
    assert main(["versions"]) == 0
    assert capsys.readouterr().out == ""


def test_a_version_whose_file_is_gone_is_not_put_in_use(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = MlflowClient().get_model_version("minigpt", "1").source
    location = mlflow.get_logged_model(source.removeprefix("models:/")).artifact_location
    Path(location.removeprefix("file://"), MODEL_FILE).unlink()

    assert main(["rollback"]) == 1

    error = (
        "Error: Version 1 of minigpt can't be used, and version 2 stays in use: Version 1 of minigpt has no"
    )
    assert capsys.readouterr().err.startswith(error)
    assert list_aliases() == BEFORE
    assert read_records("1") == []
    assert "rollback" not in MlflowClient().get_model_version("minigpt", "1").tags


def test_a_version_is_put_in_use_where_none_is(
    project: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    MlflowClient().delete_registered_model_alias("minigpt", CHAMPION)

    assert main(["rollback"]) == 0

    assert capsys.readouterr().out == "Version 1 of minigpt is in use, in place of none\n"
    assert list_aliases() == {CHAMPION: "1"}
    assert (
        MlflowClient()
        .get_model_version("minigpt", "1")
        .tags["rollback"]
        .endswith("from none to version 1, by hand")
    )


@pytest.mark.full
def test_the_command_tries_a_version_out_in_a_fresh_process(project: Path) -> None:
    command = [sys.executable, "-m", "minigpt_pipeline.release", "rollback"]

    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
    assert "Version 1 of minigpt is in use, in place of version 2\n" in result.stdout
    assert list_aliases() == {CHAMPION: "1", PREVIOUS_CHAMPION: "2"}


@pytest.mark.full
def test_a_version_that_can_not_write_for_the_prompts_is_not_put_in_use(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollback", "--version", "3"]) == 1

    err = capsys.readouterr().err
    assert "Version 3 of minigpt can't be used, and version 2 stays in use: a fresh process" in err
    assert "None of the words of the prompt 'this movie'" in err
    assert list_aliases() == BEFORE
