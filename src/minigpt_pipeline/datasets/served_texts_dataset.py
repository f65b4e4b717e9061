"""What servers have written about the texts that they served."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.text.served_days import ServedDays
from minigpt_pipeline.text.served_text import MAX_LINE_SIZE


class ServedTextsDataset(AbstractDataset[NoReturn, ServedDays]):
    """A folder with a file of JSON lines for each day, which servers append to at any time.

    Args:
        path: The folder.
        data: Folder of the data whose models' texts are meant.
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, path: str, data: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the place; nothing is read before it is asked for."""
        self.path = Path(path)
        self.data = data
        self.metadata = metadata

    def load(self) -> ServedDays:
        """Return the days; none where nothing was ever served."""
        files = {
            file.stem: _opener(file)
            for file in self.path.glob("*.jsonl")
            if _is_day(file.stem) and file.is_file()
        }
        return ServedDays(datetime.now(UTC), self.data, files)

    def save(self, data: NoReturn) -> None:
        """Refuse: servers write it."""
        raise DatasetError(f"{self.path} can't be saved: servers write what they have served")

    def _exists(self) -> bool:
        return self.path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self.path), "data": self.data}


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _opener(path: Path) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                # Of a longer line each piece is one that is damaged.
                while line := file.readline(MAX_LINE_SIZE):
                    yield line
        except FileNotFoundError:  # its days of keeping are over since the folder was looked at
            return

    return read
