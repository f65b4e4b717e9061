"""What the datasets of this project have in common."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.files import replacing

FORMAT_VERSION = 4  # a tokenizer that knows which words have capitals
"""Of the files that this version of the project writes."""

FORMAT_VERSION_KEY = "minigpt_format_version"

Content = TypeVar("Content")

MAKE_IT_FIRST = "run the pipeline that makes it first, or `kedro run` for all of them"
"""What to do about a file that is not there; `cli` knows which pipeline it is."""

MAKE_ALL_AGAIN = (
    "`kedro run` in the same environment makes this and all that belongs to it again; see docs/upgrading.md"
)
"""What to do about a file of an earlier version: those that it is made from are of that version, too."""


class LocalDataset(AbstractDataset[Content, Content], Generic[Content]):
    """A file or folder of this machine, replaced as a whole when it is saved.

    A subclass says how to `read` it and how to `write` it.

    Args:
        filepath: Where it lies; Kedro makes paths of the catalog absolute.
        metadata: For other tools: `kedro-viz` draws its `layer`, `mlflow` says how `tracking` logs it.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the path; nothing is read before it is asked for."""
        self.filepath = Path(filepath)
        self.metadata = metadata

    @abstractmethod
    def read(self, path: Path) -> Content:
        """Read what `write` has written."""

    @abstractmethod
    def write(self, path: Path, content: Content) -> None:
        """Write to a path that does not exist yet."""

    def load(self) -> Content:
        """Read the content.

        Raises:
            DatasetError: If there is nothing at the path, or another version of the project wrote it.
        """
        if not self.filepath.exists():
            raise DatasetError(f"There is no {self.filepath}: {MAKE_IT_FIRST}")
        return self.read(self.filepath)

    def save(self, data: Content) -> None:
        """Write the content beside its place and rename it."""
        with replacing(self.filepath) as partial:
            self.write(partial, data)

    def _exists(self) -> bool:
        return self.filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.filepath)}


def check_format_version(found: object, path: Path) -> None:
    """Refuse files that another version of the project wrote.

    Raises:
        DatasetError: If the version is not the one that this code reads.
    """
    if found == FORMAT_VERSION:
        return
    is_newer = isinstance(found, int) and found > FORMAT_VERSION
    advice = "go back to the version of the project that wrote it" if is_newer else MAKE_ALL_AGAIN
    raise DatasetError(
        f"{path} has format version {found}, this version of the project reads {FORMAT_VERSION}: {advice}"
    )
