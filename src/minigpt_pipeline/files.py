"""Files that are old and whole or new and whole, whenever a run is killed, and the digests that tell them apart."""

import ctypes
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIGEST_LENGTH = 16
"""Of a SHA-256, in hexadecimal digits; MLflow allows 36."""

_WORKING_FOLDER, _RENAME_EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""

MAX_DEPTH = 64
"""Of folders in folders: what walks through them calls itself for each, and paths have an end."""


def digest_file(path: Path) -> str:
    """Return the digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]


def printable(name: str) -> str:
    r"""Return a name that may go to a terminal, a page and UTF-8: what is no printable character is written as `\x1b`.

    Args:
        name: Of a file that anybody may have made; bytes that are no UTF-8 as halves of surrogates, as Python has them.
    """
    if name.isprintable():
        return name
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in name
    )


def list_files(entry: Path, max_files: int | None = None) -> list[Path]:
    """Return a file, or the regular files of a folder, hidden ones and links left out, in a fixed order.

    Args:
        entry: A file, or a folder that anybody may have filled.
        max_files: Of a folder; null means any.

    Raises:
        ValueError: If there are more, or folders lie too deep in each other.
    """
    if not entry.is_dir():
        return [entry]
    files: list[Path] = []
    folders = [(entry, 0)]
    while folders:
        folder, depth = folders.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"its folders lie more than {MAX_DEPTH} deep in each other")
        with os.scandir(folder) as found:
            for one in found:
                if one.name.startswith("."):
                    continue
                if one.is_dir(follow_symlinks=False):
                    folders.append((Path(one), depth + 1))
                elif one.is_file(follow_symlinks=False):
                    files.append(Path(one))
                if max_files is not None and len(files) + len(folders) > max_files:
                    raise ValueError(f"it has more than {max_files:,} files")
    return sorted(files)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename what was written there to `path`.

    If the block raises, `path` stays as it was. What a killed run left behind is overwritten by the next one.

    Args:
        path: A file or a folder; its parents are made where they are missing.

    Yields:
        Where to write the file, or make the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    remove(partial)
    try:
        yield partial
        if partial.is_dir() and path.exists():
            _swap_folders(partial, path)
        else:
            partial.replace(path)
    finally:
        remove(partial)


def write_through(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk and not only on its way there."""
    if path.is_symlink():
        return
    if path.is_dir():
        for below in path.iterdir():
            write_through(below)
    write_entry_through(path)


def write_entry_through(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder; one that is not there is gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _swap_folders(new: Path, path: Path) -> None:
    """Put a folder in the place of another: a full folder can't be renamed over."""
    if _exchange(new, path):
        return  # what was old now lies where the new one was
    old = path.with_name(f".{path.name}.old")
    remove(old)
    try:
        path.replace(old)
        new.replace(path)
    except BaseException:
        if not path.exists():
            old.replace(path)
        raise
    remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step, so that no kill comes between; false where the system has no such step.

    See renameat2(2), since Linux 3.15; not every file system has it.
    """
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange is None:
        return False
    names = (_WORKING_FOLDER, os.fsencode(one), _WORKING_FOLDER, os.fsencode(other))
    return bool(exchange(*names, ctypes.c_uint(_RENAME_EXCHANGE)) == 0)
