"""Reports and metrics that people and other tools read."""

import json
from pathlib import Path
from typing import Any

from kedro.io import DatasetError

from minigpt_pipeline.datasets.local_dataset import (
    FORMAT_VERSION,
    FORMAT_VERSION_KEY,
    LocalDataset,
    check_format_version,
)


class JsonDataset(LocalDataset[dict[str, Any]]):
    """A JSON object; the format version stands first in it."""

    def read(self, path: Path) -> dict[str, Any]:
        """Read an object of this format version, and take the version out of it."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path} is not JSON ({error}): make it again") from error
        if not isinstance(content, dict):
            raise DatasetError(f"{path} is no JSON object, but a {type(content).__name__}: make it again")
        check_format_version(content.pop(FORMAT_VERSION_KEY, None), path)
        return dict(content)

    def write(self, path: Path, content: dict[str, Any]) -> None:
        """Write an object that a person can read."""
        versioned = {FORMAT_VERSION_KEY: FORMAT_VERSION} | content
        path.write_text(
            json.dumps(versioned, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
