"""New data where people and programs drop it: each file, archive or folder is a batch."""

import hashlib
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.datasets.reviews_archive_dataset import stream_members
from minigpt_pipeline.files import remove
from minigpt_pipeline.text.documents import SUFFIXES
from minigpt_pipeline.text.imdb import ArchiveMember
from minigpt_pipeline.text.incoming_batch import IncomingBatch, UnreadableBatchError
from minigpt_pipeline.text.review_files import NO_TEXTS, is_review_file

logger = logging.getLogger(__name__)

ID_LENGTH = 16
"""Hexadecimal digits of a batch's id."""

YOUNG_SECONDS = 60.0
"""What has changed since then may still be written."""

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".zip")
UNFINISHED_SUFFIXES = (".part", ".partial", ".crdownload", ".tmp")
"""What programs call a file that they have not written to its end."""

TAKEN_SUFFIX = ".taken"
"""Of a hidden name: a batch that is kept elsewhere, and about to be removed here."""

Stamp = tuple[tuple[str, int, int], ...]
"""Name, size and time of the last change of each file of a batch."""


class IncomingBatchesDataset(AbstractDataset[NoReturn, list[IncomingBatch]]):
    """The batches that lie in a folder; their files are opened when they are asked for.

    Passed over: hidden names, links, what begins with README, unfinished downloads, and folders without a file. What
    changes while it is looked at stays for the next time.

    Args:
        path: The folder; where there is none, no batch lies in it.
        settle_seconds: Time between two looks at what is young.
        metadata: For Kedro-Viz.
    """

    def __init__(
        self, *, path: str, settle_seconds: float = 1.0, metadata: dict[str, Any] | None = None
    ) -> None:
        """Keep the place; nothing is read before it is asked for."""
        self.path = Path(path)
        self.settle_seconds = settle_seconds
        self.metadata = metadata

    def load(self) -> list[IncomingBatch]:
        """Return the batches by their ids, after what earlier runs have taken is removed."""
        if not self.path.is_dir():
            return []
        for leftover in self.path.glob(f".*{TAKEN_SUFFIX}"):
            remove(leftover)
        stamps = {entry: stamp for entry in sorted(self.path.iterdir()) if (stamp := _look(entry))}
        if any(_is_young(entry) for entry in stamps):
            time.sleep(self.settle_seconds)
        batches = [batch for entry, stamp in stamps.items() if (batch := _open(entry, stamp))]
        return sorted(batches, key=lambda batch: (batch.batch_id, batch.name))

    def save(self, data: NoReturn) -> None:
        """Refuse: new data is a source."""
        raise DatasetError(f"{self.path} is where new data is dropped, and can't be saved")

    def _exists(self) -> bool:
        return self.path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self.path)}


def find_digest(entry: Path) -> str:
    """Return the id of a batch: a digest of the names and contents of its files."""
    digest = hashlib.sha256()
    for file in list_files(entry):
        with file.open("rb") as content:
            name = hashlib.sha256(os.fsencode(file.relative_to(_root(entry)))).digest()
            digest.update(name + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:ID_LENGTH]


def list_files(entry: Path) -> list[Path]:
    """Return a file, or the regular files of a folder, hidden ones and links left out, in a fixed order."""
    if not entry.is_dir():
        return [entry]
    files = []
    for folder, folders, names in os.walk(entry):  # which follows no link
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(folder) / name for name in names if not name.startswith("."))
        files += [path for path in paths if path.is_file() and not path.is_symlink()]
    return sorted(files)


def find_stamp(entry: Path) -> Stamp:
    """Return what changes when a batch is written to; nothing where it has no file, or is gone."""
    try:
        found = [(os.fspath(file.relative_to(_root(entry))), file.stat()) for file in list_files(entry)]
    except OSError:
        return ()
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in found)


def _root(entry: Path) -> Path:
    return entry if entry.is_dir() else entry.parent


def _look(entry: Path) -> Stamp:
    name = entry.name.lower()
    if name.startswith((".", NO_TEXTS)) or name.endswith(UNFINISHED_SUFFIXES) or entry.is_symlink():
        return ()
    return find_stamp(entry) if entry.is_dir() or entry.is_file() else ()


def _is_young(entry: Path) -> bool:
    try:
        statuses = [path.stat() for path in {entry, *list_files(entry)}]
    except OSError:
        return True
    # Programs that copy give a file its former time of change; that of its status nobody sets.
    newest = max(max(status.st_mtime, status.st_ctime) for status in statuses)
    return newest > time.time() - YOUNG_SECONDS


def _open(entry: Path, stamp: Stamp) -> IncomingBatch | None:
    """Return a batch that has not changed since a stamp was taken of it, nor while its digest was."""
    try:
        batch_id = find_digest(entry)
    except OSError as error:
        logger.warning("%s can't be read (%s): it stays where it is", entry, error.strerror)
        return None
    if find_stamp(entry) != stamp:
        logger.info("%s is being written: it stays for the next time", entry)
        return None
    size = sum(file_size for _, file_size, _ in stamp)
    return IncomingBatch(batch_id, entry.name, entry, size, partial(_read, entry))


def _read(entry: Path, max_bytes: int) -> Iterator[ArchiveMember]:
    try:
        for member in _choose_reader(entry)(entry, max_bytes):
            # A name that is not UTF-8 can't be part of an id.
            yield ArchiveMember(os.fsencode(member.name).decode("utf-8", "replace"), member.content)
    except (DatasetError, OSError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise UnreadableBatchError(str(error).replace(f"{entry.parent}{os.sep}", "")) from error


def _choose_reader(entry: Path) -> Callable[[Path, int], Iterator[ArchiveMember]]:
    name = entry.name.lower()
    if entry.is_dir() or is_review_file(name):
        return _read_files
    if name.endswith(TAR_SUFFIXES):
        return stream_members
    if name.endswith(".zip"):
        return _read_zip
    raise UnreadableBatchError(
        f"{entry.name} is neither an archive ({', '.join(ARCHIVE_SUFFIXES)}) nor a file of texts "
        f"({', '.join(SUFFIXES)})"
    )


def _read_files(entry: Path, max_bytes: int) -> Iterator[ArchiveMember]:
    files = list_files(entry)
    if sum(file.stat().st_size for file in files) > max_bytes:
        raise UnreadableBatchError(f"{entry.name} has more than {max_bytes / 1e6:,.0f} MB")
    for file in files:
        # With the name of the folder: `aclImdb` itself may have been dropped.
        name = os.fspath(file.relative_to(entry.parent))
        yield ArchiveMember(name, file.read_bytes() if is_review_file(name) else b"")


def _read_zip(entry: Path, max_bytes: int) -> Iterator[ArchiveMember]:
    unpacked = 0
    with zipfile.ZipFile(entry) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            unpacked += info.file_size  # no more than it says is read
            if unpacked > max_bytes:
                raise UnreadableBatchError(f"{entry.name} unpacks to more than {max_bytes / 1e6:,.0f} MB")
            yield ArchiveMember(info.filename, archive.read(info) if is_review_file(info.filename) else b"")


def copy_batch(entry: Path, place: Path) -> None:
    """Copy a batch, links as links; sockets and devices are left out."""

    def find_others(folder: str, names: list[str]) -> list[str]:
        paths = {name: Path(folder) / name for name in names}
        return [
            name for name, path in paths.items() if not (path.is_symlink() or path.is_dir() or path.is_file())
        ]

    if entry.is_dir():
        shutil.copytree(entry, place, symlinks=True, ignore=find_others)
    else:
        shutil.copy2(entry, place)
