import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def copy_project() -> Callable[[Path, Path], Path]:
    """Copy a project in which something ran, and tell its store where it is now (docs/operations.md)."""

    def copy(project: Path, target: Path) -> Path:
        shutil.copytree(project, target)
        with sqlite3.connect(target / "mlflow.db") as store:
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
            ):
                store.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?)", [str(project), str(target)]
                )
        return target

    return copy
