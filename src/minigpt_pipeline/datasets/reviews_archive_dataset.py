"""The archive of reviews: found on this machine or downloaded, and read as a stream."""

import gzip
import hashlib
import io
import logging
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from kedro.io import AbstractDataset, DatasetError
from tqdm.utils import CallbackIOWrapper

from minigpt_pipeline.datasets.read_ahead import CHUNK_SIZE, ReadAhead
from minigpt_pipeline.files import DIGEST_LENGTH, digest_file
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
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Keep where the archive may be; nothing is opened before it is asked for."""
        if url and not sha256:
            raise DatasetError(
                f"The download {url} has no sha256: a download is only used if its checksum is known"
            )
        self.filepath = Path(filepath)
        self.local_file = Path(local_file).expanduser() if local_file else None
        self.url = url
        self.sha256 = sha256
        self.local_sha256 = local_sha256
        self.metadata = metadata

    def load(self) -> Iterator[ArchiveMember]:
        """Return the files of the archive, read one at a time as they are asked for.

        Raises:
            DatasetError: If there is no archive and none can be downloaded, its checksum is wrong, or it can't be read.
        """
        path = self.find()
        logger.info("Reading reviews from %s", path)
        return stream_members(path)

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

        logger.info("Downloading %s to %s", url, self.filepath)
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
                f"{url} could not be downloaded to {self.filepath} in {DOWNLOAD_RETRIES + 1} tries: {error}. "
                "Put the archive there by hand, or name one in MINIGPT_IMDB_ARCHIVE"
            ) from error

    def save(self, data: NoReturn) -> None:
        """Refuse: the archive is a source."""
        raise DatasetError(f"{self.filepath} is a source and can't be saved")

    def _exists(self) -> bool:
        return (self.local_file or self.filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.filepath), "local_file": str(self.local_file), "url": self.url}


def stream_members(path: Path, max_bytes: int | None = None) -> Iterator[ArchiveMember]:
    """Read the regular files of a tar archive in their order; links, devices and folders are passed over.

    Args:
        path: The archive.
        max_bytes: Of its files, unpacked, with a block for each; null means any.

    Raises:
        DatasetError: If the file is not a tar archive, gzipped or not, ends too early, or unpacks to more.
    """
    size, unpacked, num_others = path.stat().st_size, 0, 0
    try:
        with (
            path.open("rb") as file,
            showing_progress("Reading reviews", size, "MB", scale=1e-6) as advance,
            _decompress(CallbackIOWrapper(advance, file, "read"), file.peek(len(GZIP_MAGIC))) as stream,
        ):
            with io.BufferedReader(ReadAhead(stream), CHUNK_SIZE) as ahead:
                with tarfile.open(fileobj=ahead, mode="r|") as archive:
                    for member in archive:
                        unpacked += tarfile.BLOCKSIZE + member.size
                        if max_bytes is not None and unpacked > max_bytes:
                            raise DatasetError(f"{path.name} unpacks to more than {max_bytes / 1e6:,.0f} MB")
                        content = archive.extractfile(member) if member.isreg() else None
                        if content is not None:
                            yield ArchiveMember(member.name, content.read())
                        num_others += not (member.isreg() or member.isdir())
                # tarfile takes an archive that is cut off between two files for a whole one: gzip's checksum tells, or
                # the zeros that a tar archive ends with.
                while ahead.read(CHUNK_SIZE):
                    pass
            if not isinstance(stream, gzip.GzipFile):
                _check_end_of_archive(file)
        if num_others:
            logger.warning("%d links or devices in %s were passed over", num_others, path.name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DatasetError(
            f"{path} can't be read as a tar archive ({error}): it may be cut off or something else; "
            "get it again and compare its checksum"
        ) from error


def _decompress(file: Any, first_bytes: bytes) -> AbstractContextManager[Any]:
    return gzip.GzipFile(fileobj=file) if first_bytes.startswith(GZIP_MAGIC) else nullcontext(file)


def _check_end_of_archive(file: BinaryIO) -> None:
    file.seek(-END_OF_ARCHIVE_SIZE, os.SEEK_END)
    if any(file.read()):
        raise tarfile.ReadError("its end is missing")
