"""The archive of reviews: found on this machine or downloaded, and read as a stream."""

import gzip
import hashlib
import io
import logging
import os
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from kedro.io import AbstractDataset, DatasetError
from tqdm.utils import CallbackIOWrapper

from minigpt_pipeline.datasets.read_ahead import CHUNK_SIZE, ReadAhead
from minigpt_pipeline.files import DIGEST_LENGTH, digest_file, printable
from minigpt_pipeline.hidden import hide_password
from minigpt_pipeline.progress import is_watched, showing_progress
from minigpt_pipeline.text.imdb import ArchiveMember

logger = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT_SECONDS = 60
DOWNLOAD_RETRIES = 3

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1
ABSENT = "absent"
"""The digest of what is not there."""

END_OF_ARCHIVE_SIZE = 1024  # bytes: two blocks of zeros, POSIX pax interchange format


class ReviewsArchiveDataset(AbstractDataset[NoReturn, Iterator[ArchiveMember]]):
    """A tar archive, gzipped or not, that is never unpacked to disk.

    Args:
        filepath: The archive, and where a download puts it.
        local_file: An archive to take instead; it is never downloaded.
        url: Where to get the archive if there is none at `filepath`; None means nowhere.
        sha256: Of the download, hexadecimal; needed where there is a `url`.
        local_sha256: Of an archive that is on this machine already; None leaves it unchecked.
        max_megabytes: Of an archive, unpacked; None means any.
        metadata: For Kedro-Viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        local_file: str | None = None,
        url: str | None = None,
        sha256: str | None = None,
        local_sha256: str | None = None,
        max_megabytes: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Keep where the archive may be; nothing is opened before it is asked for."""
        if url and not sha256:
            raise DatasetError(
                f"The download {hide_password(url)} has no sha256: a download is only used if its checksum is known"
            )
        self.filepath = Path(filepath)
        self.local_file = Path(local_file).expanduser() if local_file else None
        self.url = url
        self.sha256 = sha256
        self.local_sha256 = local_sha256
        self.max_bytes = None if max_megabytes is None else round(max_megabytes * 1e6)
        self.metadata = metadata

    def load(self) -> Iterator[ArchiveMember]:
        """Return the files of the archive, read one at a time as they are asked for.

        Raises:
            DatasetError: If there is no archive and none can be downloaded, its checksum is wrong, or it can't be read.
        """
        path = self.find()
        logger.info("Reading reviews from %s", path)
        return stream_members(path, self.max_bytes)

    def digest(self) -> str:
        """Return the digest of the archive that would be read; nothing is downloaded for it."""
        path = self.local_file or self.filepath
        if path.is_file():
            return digest_file(path)
        return ABSENT if self.local_file or not self.sha256 else self.sha256[:DIGEST_LENGTH]

    def find(self) -> Path:
        """Return the archive, downloading it where there is none."""
        if self.local_file is not None and not self.local_file.is_file():
            raise DatasetError(
                f"There is no file {self.local_file}, which MINIGPT_IMDB_ARCHIVE names: "
                "correct the variable, or unset it to have the archive downloaded"
            )
        path = self.local_file or self.filepath
        if path.is_file():
            self._check_local_file(path)
            return path
        if self.url is None:
            raise DatasetError(
                f"There is no archive {path}, and the catalog names no url to download it from: put one there; "
                f"`python -m minigpt_pipeline.text.synthetic_reviews {path}` writes the embedded corpus"
            )
        self._download(self.url)
        return self.filepath

    def _check_local_file(self, path: Path) -> None:
        if self.local_sha256 is None:
            return
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.local_sha256:
            raise DatasetError(
                f"{path} has the SHA-256 {found}, expected {self.local_sha256}: "
                "replace the file, or correct local_sha256 in conf/base/catalog_ingestion.yml"
            )

    def _download(self, url: str) -> None:
        """Download to a file beside `filepath`, check it, rename it; retry what can be retried."""
        import pooch
        import requests

        shown = hide_password(url)
        logger.info("Downloading %s to %s", shown, self.filepath)
        store = pooch.create(
            path=self.filepath.parent,
            base_url="",
            registry={self.filepath.name: f"sha256:{self.sha256}"},
            urls={self.filepath.name: url},
            retry_if_failed=DOWNLOAD_RETRIES,
        )
        pooch.get_logger().setLevel(logging.WARNING)
        downloader = pooch.HTTPDownloader(progressbar=is_watched(), timeout=DOWNLOAD_TIMEOUT_SECONDS)
        try:
            store.fetch(self.filepath.name, downloader=downloader)
        except (OSError, ValueError, requests.RequestException) as error:
            raise DatasetError(
                f"{shown} could not be downloaded to {self.filepath} in {DOWNLOAD_RETRIES + 1} tries: "
                f"{hide_password(str(error))}. "
                "Put the archive there by hand, or name one in MINIGPT_IMDB_ARCHIVE"
            ) from None  # whose own words have the address; Kedro-Viz keeps those of each error in the chain

    def save(self, data: NoReturn) -> None:
        """Refuse: the archive is a source."""
        raise DatasetError(f"{self.filepath} is a source and can't be saved")

    def _exists(self) -> bool:
        return (self.local_file or self.filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": str(self.filepath),
            "local_file": str(self.local_file),
            "url": hide_password(self.url) if self.url else None,
        }


def stream_members(
    path: Path, max_bytes: int | None = None, max_files: int | None = None
) -> Iterator[ArchiveMember]:
    """Read the regular files of a tar archive in their order; links, devices and folders are passed over.

    Args:
        path: The archive.
        max_bytes: Of the archive, unpacked, and of its files, of which a sparse one is larger than what is stored of
            it; null means any.
        max_files: Of its entries; null means any.

    Yields:
        The files, whose names are `printable`.

    Raises:
        DatasetError: If the file is not a tar archive, gzipped or not, ends too early, or holds more.
    """
    size, num_others = path.stat().st_size, 0
    try:
        with (
            path.open("rb") as file,
            showing_progress("Reading reviews", size, "MB", scale=1e-6) as advance,
            _decompress(CallbackIOWrapper(advance, file, "read"), file.peek(len(GZIP_MAGIC))) as stream,
        ):
            bounded = stream if max_bytes is None else _Bounded(stream, path.name, max_bytes)
            with io.BufferedReader(ReadAhead(bounded), CHUNK_SIZE) as ahead:
                with tarfile.open(fileobj=ahead, mode="r|") as archive:
                    for member in _list_members(archive, path.name, max_bytes, max_files):
                        content = archive.extractfile(member) if member.isreg() else None
                        if content is not None:
                            yield ArchiveMember(printable(member.name), content.read())
                        num_others += not (member.isreg() or member.isdir())
                # tarfile takes an archive that is cut off between two files for a whole one: gzip's checksum tells, or
                # the zeros that a tar archive ends with.
                while ahead.read(CHUNK_SIZE):
                    pass
            if not isinstance(stream, gzip.GzipFile):
                _check_end_of_archive(file)
        if num_others:
            logger.warning("%d links or devices in %s were passed over", num_others, printable(path.name))
    except DatasetError:
        raise
    # Of a header that somebody has made up, tarfile also raises ValueError, OverflowError, RecursionError and others.
    except Exception as error:
        raise DatasetError(
            f"{path} can't be read as a tar archive ({printable(str(error))}): it may be cut off or something else; "
            "get it again and compare its checksum"
        ) from error


def _list_members(
    archive: tarfile.TarFile, name: str, max_bytes: int | None, max_files: int | None
) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of an archive, as long as they stay within the bounds."""
    unpacked = 0
    for number, member in enumerate(archive, start=1):
        unpacked += tarfile.BLOCKSIZE + member.size
        if member.size < 0:
            raise tarfile.ReadError(f"a file of {member.size} bytes")
        if max_bytes is not None and unpacked > max_bytes:
            raise _say_too_large(name, max_bytes)
        if max_files is not None and number > max_files:
            raise DatasetError(f"{name} has more than {max_files:,} files")
        yield member
        archive.members.clear()  # type: ignore[attr-defined]  # it remembers a kilobyte of each


class _Bounded:
    """A stream that raises DatasetError where it has more than some bytes, such as names that nobody would read."""

    def __init__(self, stream: Any, name: str, max_bytes: int) -> None:
        self._stream, self._name, self._max_bytes, self._num_bytes = stream, name, max_bytes, 0

    def read(self, size: int) -> bytes:
        piece: bytes = self._stream.read(size)
        self._num_bytes += len(piece)
        if self._num_bytes > self._max_bytes:
            raise _say_too_large(self._name, self._max_bytes)
        return piece


def _say_too_large(name: str, max_bytes: int) -> DatasetError:
    return DatasetError(
        f"{name} unpacks to more than {max_bytes / 1e6:,.0f} MB: if it shall be so large, raise max_megabytes in "
        "conf/base/catalog_ingestion.yml, or of new data in conf/base/parameters_incoming.yml"
    )


def _decompress(file: Any, first_bytes: bytes) -> AbstractContextManager[Any]:
    return gzip.GzipFile(fileobj=file) if first_bytes.startswith(GZIP_MAGIC) else nullcontext(file)


def _check_end_of_archive(file: BinaryIO) -> None:
    file.seek(-END_OF_ARCHIVE_SIZE, os.SEEK_END)
    if any(file.read()):
        raise tarfile.ReadError("its end is missing")
