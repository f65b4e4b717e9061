"""GPU settings as an entry of the catalog, so that they lie in conf/ and Kedro-Viz shows them."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from minigpt_pipeline.parameters import ComputeSettings


class ComputeDataset(AbstractDataset[NoReturn, ComputeSettings]):
    """Where and how precisely the model computes.

    Args:
        device: `auto`, `cpu` or `gpu`.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`.
        memory_growth: Take GPU memory as it is needed.
        deterministic: Only operations that give the same bits in every run.
        metadata: For Kedro-Viz.
    """

    def __init__(
        self,
        *,
        device: str,
        precision: str,
        memory_growth: bool,
        deterministic: bool,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Check the settings; TensorFlow is not touched before a node computes."""
        self.metadata = metadata
        try:
            self._settings = ComputeSettings.model_validate(
                {
                    "device": device,
                    "precision": precision,
                    "memory_growth": memory_growth,
                    "deterministic": deterministic,
                }
            )
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
