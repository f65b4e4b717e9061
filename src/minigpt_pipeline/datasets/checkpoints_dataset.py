"""Where a training saves its checkpoints, as an entry of the catalog."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.model.checkpoint_store import CheckpointStore


class CheckpointsDataset(AbstractDataset[NoReturn, CheckpointStore]):
    """A folder that the training node reads and writes through the store that is loaded.

    Args:
        filepath: The folder; Kedro makes paths of the catalog absolute.
        keep: How many checkpoints stay.
        metadata: For Kedro-Viz.

    Raises:
        DatasetError: If not even one is kept.
    """

    def __init__(self, *, filepath: str, keep: int, metadata: dict[str, Any] | None = None) -> None:
        """Keep the settings; the folder is made with the first checkpoint."""
        if keep < 1:
            raise DatasetError(
                f"checkpoints.keep={keep} in conf/*/catalog_training.yml: at least 1 must stay"
            )
        self.filepath = Path(filepath)
        self.keep = keep
        self.metadata = metadata

    def load(self) -> CheckpointStore:
        """Return the store."""
        return CheckpointStore(self.filepath, self.keep)

    def save(self, data: NoReturn) -> None:
        """Refuse: checkpoints are saved through the store."""
        raise DatasetError(
            "`checkpoints` can't be saved: the training node saves through the store that it loads"
        )

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.filepath), "keep": self.keep}
