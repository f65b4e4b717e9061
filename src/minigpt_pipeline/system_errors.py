"""What a user reads where the machine has refused something: room on a disk, memory, or a file to write to."""

import errno
import re
import sqlite3
from collections.abc import Iterator

FULL = {errno.ENOSPC, errno.EDQUOT}
DATABASES = "mlflow.db, or to the trials of a search"
FORBIDDEN = {errno.EACCES, errno.EPERM}

_DATASET = re.compile(r"(?P<name>\w+): Failed while saving")

_PARTIAL = re.compile(r"(?<=/)\.(?P<name>[^/]+)\.partial")


def describe_system_error(error: BaseException, conf: str = "conf") -> str | None:
    """Return what has happened, that nothing is lost, and what to do; null for every other error.

    Args:
        error: What ended a command, with its causes.
        conf: Folder of the environments, for what is to be changed there.
    """
    causes = list(list_causes(error))
    saved = next((found["name"] for each in causes if (found := _DATASET.match(str(each)))), None)
    for each in causes:
        if _is_full(each):
            return (
                f"The disk is full, and {_name_place(each, saved)} was not saved; what was there before is whole: make "
                f"room, or keep data on another disk (`data` in {conf}/*/globals.yml), and run the same command again"
            )
        if _is_unwritable(each):
            return (
                f"{_name_place(each, saved)} can't be written ({_read_reason(each)}); what was there before is whole: "
                "let this user write there, or keep the project elsewhere, and run the same command again"
            )
        if isinstance(each, sqlite3.OperationalError) and "is locked" in str(each):
            return (
                f"Another program writes to {DATABASES}, for longer than this one waits; what was saved is whole: let "
                "it come to its end, and run the same command again"
            )
        if isinstance(each, MemoryError) or type(each).__name__ == "ResourceExhaustedError":
            reason = (str(each).strip() or "no more is given").splitlines()[0]
            return (
                f"There is too little memory ({reason}); what was saved is whole: let other programs end, or take a "
                f"smaller training.batch_size or model ({conf}/base/parameters_training.yml; docs/operations.md says "
                "what each environment takes), and run the same command again"
            )
    return None


def list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and each that has led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return "disk is full" in str(error)
    return isinstance(error, OSError) and error.errno in FULL


def _is_unwritable(error: BaseException) -> bool:
    """Whether a file can't be written; who may not open a connection has no file."""
    if isinstance(error, sqlite3.OperationalError):
        return "readonly database" in str(error)
    if not isinstance(error, OSError):
        return False
    return error.errno == errno.EROFS or (error.errno in FORBIDDEN and error.filename is not None)


def _name_place(error: BaseException, saved: str | None) -> str:
    """Say what could not be written: the dataset, or a file; SQLite does not say which."""
    if saved is not None:
        return saved
    if isinstance(error, sqlite3.Error):
        return f"what goes to {DATABASES}"
    filename = getattr(error, "filename", None)
    return _PARTIAL.sub(r"\g<name>", str(filename)) if filename else "what was being written"


def _read_reason(error: BaseException) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)
