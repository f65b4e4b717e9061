"""GPU settings as an entry of the catalog, so that they lie in conf/ and Kedro-Viz shows them."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError
from pydantic_core import ErrorDetails

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
            wrong = "; ".join(map(_describe_error, error.errors()))
            raise DatasetError(f"The catalog entry `compute` is wrong: {wrong}") from error

    def load(self) -> ComputeSettings:
        """Return the settings."""
        return self._settings

    def save(self, data: NoReturn) -> None:
        """Refuse: settings are written by people."""
        raise DatasetError("`compute` can't be saved: its settings stand in conf/*/catalog_compute.yml")

    def _describe(self) -> dict[str, Any]:
        return self._settings.model_dump()


def _describe_error(error: ErrorDetails) -> str:
    """Say what is wrong with a setting, and where it stands."""
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return message  # of a rule between settings, which says where they stand
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{name} is no setting of conf/*/catalog_compute.yml: docs/gpu.md has them all"
    return f"{name}={error['input']!r}: {message} (conf/*/catalog_compute.yml)"
