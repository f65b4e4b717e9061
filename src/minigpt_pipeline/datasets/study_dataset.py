"""The trials of a search, as an entry of the catalog."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.search.study_store import StudyStore


class StudyDataset(AbstractDataset[NoReturn, StudyStore]):
    """An SQLite file that the search reads and writes through the store that is loaded.

    Args:
        filepath: Of the file; Kedro makes paths of the catalog absolute.
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the path; the file is made with the first trial."""
        self.filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> StudyStore:
        """Return the store."""
        return StudyStore(self.filepath)

    def save(self, data: NoReturn) -> None:
        """Refuse: trials are written through the store."""
        raise DatasetError("`sweep_study` can't be saved: the search writes through the store that it loads")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.filepath)}
