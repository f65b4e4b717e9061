"""GPU settings as an entry of the catalog, so that they lie in conf/ and Kedro-Viz shows them."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from minigpt_pipeline.parameters import ComputeSettings


class ComputeDataset(AbstractDataset[NoReturn, ComputeSettings]):
    """Where and how precisely the model computes.

    Args:
        metadata: For Kedro-Viz.
        **settings: Fields of `ComputeSettings`.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None, **settings: Any) -> None:
        """Check the settings; TensorFlow is not touched before a node computes."""
        self.metadata = metadata
        try:
            self._settings = ComputeSettings.model_validate(settings)
        except ValidationError as error:
            raise DatasetError(
                f"The catalog entry `compute` (conf/*/catalog_compute.yml) is wrong: {error}"
            ) from error

    def load(self) -> ComputeSettings:
        """Return the settings."""
        return self._settings

    def save(self, data: NoReturn) -> None:
        """Refuse: settings are written by people."""
        raise DatasetError("`compute` can't be saved: its settings stand in conf/*/catalog_compute.yml")

    def _describe(self) -> dict[str, Any]:
        return self._settings.model_dump()
