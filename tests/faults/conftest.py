import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from kedro.framework.startup import bootstrap_project


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
