import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from kedro.framework.startup import bootstrap_project

from tests.faults.launcher import launching
from tests.faults.stages import SEED, Stages


def pytest_report_header() -> str:
    return f"MINIGPT_FAULT_SEED={SEED}: with it, each fault comes again at the same moment"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often what was tried, and what was lost."""
    tried, lost = Counter[str](), Counter[str]()
    for outcome, counter in (("passed", tried), ("failed", lost)):
        for report in terminalreporter.getreports(outcome):
            counter.update(value for name, value in report.user_properties if name == "fault")
    if tried or lost:
        terminalreporter.section("faults: pipeline, what, how often, lost")
        for name in sorted(tried | lost):
            terminalreporter.write_line(f"{name:40} {tried[name] + lost[name]:4} {lost[name]:4}")
        terminalreporter.write_line(f"{'all':40} {(tried + lost).total():4} {lost.total():4}")


@pytest.fixture(scope="session")
def stages(make_project: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Each pipeline before and after it has run, and what runs it."""
    folder = tmp_path_factory.mktemp("stages")
    with launching(folder) as launcher:
        yield Stages(launcher, make_project, folder)


@pytest.fixture(autouse=True)
def _unchanged_store() -> Iterator[None]:
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project that a module has prepared, where commands are called."""
    copy = tmp_path / "project"
    shutil.copytree(prepared, copy)
    tell_store(prepared, copy)
    monkeypatch.chdir(copy)
    bootstrap_project(copy)
    yield copy
    mlflow.set_tracking_uri(None)


def tell_store(former: Path, project: Path) -> None:
    """Tell the store of a copied project where it is now, as docs/operations.md does."""
    places = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    with sqlite3.connect(project / "mlflow.db") as store:
        for table, column in places.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            store.execute(change, [str(former), str(project)])
