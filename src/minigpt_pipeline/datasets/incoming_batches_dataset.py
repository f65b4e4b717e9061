"""New data where people and programs drop it: each file, archive or folder is a batch."""

import hashlib
import logging
import mmap
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.datasets.reviews_archive_dataset import stream_members
from minigpt_pipeline.files import list_files, printable, remove
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

ZIP_ENTRY = re.compile(rb"PK\x01\x02")
"""With which an entry of a zip archive's list begins: APPNOTE.TXT, 4.3.12."""

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
        max_files: Of a batch; null means any. A folder with more, and a file or folder with more megabytes, stays where
            it is, and a warning says so: nobody waits until all of it is read.
        max_megabytes: Of a batch as it lies there; null means any.
        metadata: For Kedro-Viz.
    """

    def __init__(
        self,
        *,
        path: str,
        settle_seconds: float = 1.0,
        max_files: int | None = None,
        max_megabytes: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Keep the place; nothing is read before it is asked for."""
        self.path = Path(path)
        self.settle_seconds = settle_seconds
        self.max_files, self.max_megabytes = max_files, max_megabytes
        self.metadata = metadata

    def load(self) -> list[IncomingBatch]:
        """Return the batches by their ids, after what earlier runs have taken is removed."""
        if not self.path.is_dir():
            return []
        for leftover in self.path.glob(f".*{TAKEN_SUFFIX}"):
            remove(leftover)
        stamps = {entry: stamp for entry in sorted(self.path.iterdir()) if (stamp := self._look(entry))}
        if any(_is_young(entry) for entry in stamps):
            time.sleep(self.settle_seconds)
        batches = [batch for entry, stamp in stamps.items() if (batch := self._open(entry, stamp))]
        return sorted(batches, key=lambda batch: (batch.batch_id, batch.name))

    def _look(self, entry: Path) -> Stamp:
        """Return the stamp of a batch; nothing of what is none, or of what nobody would want to read."""
        name = entry.name.lower()
        if name.startswith((".", NO_TEXTS)) or name.endswith(UNFINISHED_SUFFIXES) or entry.is_symlink():
            return ()
        if not (entry.is_dir() or entry.is_file()):
            return ()
        try:
            stamp = _find_stamp(entry, self.max_files)
            megabytes = sum(size for _, size, _ in stamp) / 1e6
            if self.max_megabytes is not None and megabytes > self.max_megabytes:
                raise ValueError(f"it has {megabytes:,.0f} MB, and {self.max_megabytes:,.0f} MB is the most")  # noqa: TRY301
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            logger.warning(
                "%s stays where it is: %s. Divide it, remove it, or raise the limit in conf/base/catalog_incoming.yml",
                printable(os.fspath(entry)),
                printable(str(error)),
            )
            return ()
        return stamp

    def _open(self, entry: Path, stamp: Stamp) -> IncomingBatch | None:
        """Return a batch that has not changed since a stamp was taken of it, nor while its digest was."""
        try:
            batch_id = find_digest(entry)
        except (OSError, ValueError) as error:
            logger.warning(
                "%s can't be read (%s): it stays where it is",
                printable(os.fspath(entry)),
                printable(getattr(error, "strerror", None) or str(error)),
            )
            return None
        if find_stamp(entry) != stamp:
            logger.info("%s is being written: it stays for the next time", printable(os.fspath(entry)))
            return None
        size = sum(file_size for _, file_size, _ in stamp)
        return IncomingBatch(batch_id, entry.name, entry, size, partial(_read, entry, self.max_files))

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


def find_stamp(entry: Path) -> Stamp:
    """Return what changes when a batch is written to; nothing where it has no file, or is gone."""
    try:
        return _find_stamp(entry)
    except (OSError, ValueError):
        return ()


def _find_stamp(entry: Path, max_files: int | None = None) -> Stamp:
    root = _root(entry)
    found = [(os.fspath(file.relative_to(root)), file.stat()) for file in list_files(entry, max_files)]
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in found)


def _root(entry: Path) -> Path:
    return entry if entry.is_dir() else entry.parent


def _is_young(entry: Path) -> bool:
    try:
        statuses = [path.stat() for path in {entry, *list_files(entry)}]
    except (OSError, ValueError):
        return True
    # Programs that copy give a file its former time of change; that of its status nobody sets.
    newest = max(max(status.st_mtime, status.st_ctime) for status in statuses)
    return newest > time.time() - YOUNG_SECONDS


def _read(entry: Path, max_files: int | None, max_bytes: int) -> Iterator[ArchiveMember]:
    try:
        yield from _choose_reader(entry)(entry, max_bytes, max_files)
    # Nobody can foresee what a library raises on a file that somebody has made up.
    except Exception as error:
        told = str(error) or repr(error)
        raise UnreadableBatchError(printable(told.replace(f"{entry.parent}{os.sep}", ""))) from error


def _choose_reader(entry: Path) -> Callable[[Path, int, int | None], Iterator[ArchiveMember]]:
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


def _read_files(entry: Path, max_bytes: int, max_files: int | None) -> Iterator[ArchiveMember]:
    files = list_files(entry, max_files)
    if sum(file.stat().st_size for file in files) > max_bytes:
        raise UnreadableBatchError(f"{entry.name} has more than {max_bytes / 1e6:,.0f} MB")
    for file in files:
        # With the name of the folder: `aclImdb` itself may have been dropped.
        name = printable(os.fspath(file.relative_to(entry.parent)))
        yield ArchiveMember(name, file.read_bytes() if is_review_file(name) else b"")


def _read_zip(entry: Path, max_bytes: int, max_files: int | None) -> Iterator[ArchiveMember]:
    # Before the list of entries is made, which takes half a kilobyte for each.
    if max_files is not None and _count_zip_entries(entry) > max_files:
        raise UnreadableBatchError(f"{entry.name} has more than {max_files:,} files")
    unpacked = 0
    with zipfile.ZipFile(entry) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            unpacked += info.file_size
            if unpacked > max_bytes:
                raise UnreadableBatchError(f"{entry.name} unpacks to more than {max_bytes / 1e6:,.0f} MB")
            name = printable(info.filename)
            yield ArchiveMember(name, _read_entry(archive, info) if is_review_file(name) else b"")


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # Of others, zipfile unpacks more than an entry says that it has.
        raise UnreadableBatchError(
            f"{printable(info.filename)} is compressed in a way (number {info.compress_type}) that is not read: pack "
            "it again, with deflate"
        )
    with archive.open(info) as file:
        return file.read(info.file_size + 1)  # told how much, it unpacks no more


def _count_zip_entries(entry: Path) -> int:
    """Return how many entries a zip archive can have at most: each begins with the same bytes."""
    with entry.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return sum(1 for _ in re.finditer(ZIP_ENTRY, content))


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
