"""Texts of one's own: a file, or all files of a folder."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.files import DIGEST_LENGTH, digest_file, list_files, printable
from minigpt_pipeline.progress import track
from minigpt_pipeline.text.documents import SUFFIXES
from minigpt_pipeline.text.imdb import ArchiveMember

logger = logging.getLogger(__name__)


class DocumentsDataset(AbstractDataset[NoReturn, Iterator[ArchiveMember]]):
    """Files with texts, read one at a time as they are asked for.

    Args:
        path: A file, or a folder: of this all files below it that have a known suffix, hidden ones and links left out.
        max_megabytes: Of the files together; null means any.
        metadata: For Kedro-Viz.
    """

    def __init__(
        self, *, path: str | None, max_megabytes: float | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Keep where the files are; nothing is opened before it is asked for."""
        self.path = Path(path).expanduser() if path else None
        self.max_megabytes = max_megabytes
        self.metadata = metadata

    def load(self) -> Iterator[ArchiveMember]:
        """Return the files by their names, which are relative to the folder.

        Raises:
            DatasetError: If there is no such file or folder, or none of its files has a known suffix.
        """
        if self.path is None:
            raise DatasetError(
                "Nobody has said where the texts are: kedro run --env own_text --params texts=FOLDER, or a file"
            )
        if not self.path.exists():
            raise DatasetError(f"There is no file or folder {self.path}, which `texts` names: correct it")
        files, known = self._find(self.path)
        if not known:
            raise DatasetError(
                f"{self.path} has no texts, expected files that end in {', '.join(SUFFIXES)}: "
                "name another one with --params texts=FOLDER, or rename them"
            )
        megabytes = sum(file.stat().st_size for file in known) / 1e6
        if self.max_megabytes is not None and megabytes > self.max_megabytes:
            raise DatasetError(
                f"The texts of {self.path} have {megabytes:,.0f} MB, and {self.max_megabytes:,.0f} MB is the most: "
                "name fewer of them, or raise max_megabytes in conf/own_text/catalog_ingestion.yml"
            )
        logger.info("Reading %d of %d files of %s", len(known), len(files), self.path)
        return self._read(known)

    def digest(self) -> str:
        """Return a digest of the names and contents of the files that would be read."""
        known = self._find(self.path)[1] if self.path else []
        described = [f"{digest_file(file)} {self._name(file)}" for file in known]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()[:DIGEST_LENGTH]

    def _find(self, path: Path) -> tuple[list[Path], list[Path]]:
        """Return the files that there are, and of these the texts."""
        try:
            files = list_files(path) if path.is_dir() or path.is_file() else []
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{path} can't be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        return files, [file for file in files if file.suffix.lower() in SUFFIXES]

    def _name(self, file: Path) -> str:
        folder = self.path if self.path and self.path.is_dir() else file.parent
        return printable(file.relative_to(folder).as_posix())

    def _read(self, files: list[Path]) -> Iterator[ArchiveMember]:
        for file in track(files, "Reading texts", len(files), "files"):
            try:
                content = file.read_bytes()
            except OSError as error:
                raise DatasetError(f"{file} can't be read: {error.strerror}") from error
            yield ArchiveMember(self._name(file), content)

    def save(self, data: NoReturn) -> None:
        """Refuse: the files are a source."""
        raise DatasetError(f"{self.path} is a source and can't be saved")

    def _exists(self) -> bool:
        return self.path is not None and self.path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self.path)}
