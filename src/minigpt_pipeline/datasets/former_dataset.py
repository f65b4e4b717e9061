"""What an earlier run has saved, for a pipeline that runs before the one that saves it."""

import logging
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

logger = logging.getLogger(__name__)


class FormerDataset(AbstractDataset[NoReturn, Any]):
    """The content of another dataset's file, under a name of its own, so that Kedro sees no circle; null without one.

    Args:
        dataset: The configuration of the other dataset.
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Make the other dataset; nothing is read before it is asked for."""
        self._dataset = AbstractDataset.from_config("former", dataset)
        self.metadata = metadata

    def load(self) -> Any:
        """Return the content; null where there is none, or another version of the project wrote it."""
        if not self._dataset.exists():
            return None
        try:
            return self._dataset.load()
        except DatasetError as error:
            logger.warning("What was made before is left out: %s", error)
            return None

    def save(self, data: NoReturn) -> None:
        """Refuse: another entry of the catalog saves it."""
        raise DatasetError(f"{self._dataset} is only read here")

    def _exists(self) -> bool:
        return bool(self._dataset.exists())

    def _describe(self) -> dict[str, Any]:
        return {"dataset": self._dataset._describe()}
