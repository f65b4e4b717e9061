import errno
import os
import sqlite3
from pathlib import Path

import pytest
from kedro.io import DatasetError

from minigpt_pipeline.system_errors import describe_system_error


def failing(error: Exception, said: str = "raw_reviews: Failed while saving data") -> DatasetError:
    wrapped = DatasetError(said)
    wrapped.__cause__ = error
    return wrapped


def of_system(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


class ResourceExhaustedError(Exception):
    """As TensorFlow names what it raises."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            of_system(errno.ENOSPC, "/data/.a.json.partial"),
            "The disk is full, and /data/a.json was not saved",
        ),
        (failing(of_system(errno.EDQUOT)), "The disk is full, and raw_reviews was not saved"),
        (
            failing(sqlite3.OperationalError("database or disk is full"), "of MLflow"),
            "The disk is full, and what goes to mlflow.db",
        ),
        (of_system(errno.EROFS, "/data/x"), "/data/x can't be written (Read-only file system)"),
        (of_system(errno.EACCES, "/data/x"), "/data/x can't be written (Permission denied)"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "what goes to mlflow.db"),
        (sqlite3.OperationalError("database is locked"), "Another program writes to mlflow.db"),
        (failing(MemoryError()), "There is too little memory (no more is given)"),
        (
            ResourceExhaustedError("OOM when allocating\nmore"),
            "There is too little memory (OOM when allocating)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_machine_refuses_is_told(error: Exception, message: str) -> None:
    told = describe_system_error(error)

    assert told is not None
    assert told.startswith(message)
    assert told.endswith("run the same command again")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        FileNotFoundError(errno.ENOENT, "gone", str(Path("x"))),
        of_system(errno.EPERM),  # of a connection
        sqlite3.OperationalError("no such table: runs"),
    ],
)
def test_other_errors_are_none_of_the_machine_s(error: Exception) -> None:
    assert describe_system_error(error) is None
