"""An n-gram model, to compare a GPT with."""

from pathlib import Path

import numpy as np
from kedro.io import DatasetError

from minigpt_pipeline.datasets.local_dataset import (
    FORMAT_VERSION,
    FORMAT_VERSION_KEY,
    LocalDataset,
    check_format_version,
)
from minigpt_pipeline.text.kneser_ney import NgramModel


class NgramModelDataset(LocalDataset[NgramModel]):
    """The arrays of a model and the format version, in an `.npz` archive without pickle."""

    def read(self, path: Path) -> NgramModel:
        """Read a model of this format version.

        Raises:
            DatasetError: If the file is no archive of arrays, is cut off, or has another format version.
        """
        try:
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
                arrays = dict(archive)
            version = arrays.pop(FORMAT_VERSION_KEY, None)
            check_format_version(version.item() if version is not None else None, path)
            return NgramModel.from_arrays(arrays)
        except DatasetError:
            raise
        except Exception as error:  # of zipfile and NumPy, of many kinds where somebody has changed the file
            raise DatasetError(f"{path} is not an archive of arrays ({error}): make it again") from error

    def write(self, path: Path, content: NgramModel) -> None:
        """Write the model; equal models give equal bytes."""
        arrays = {FORMAT_VERSION_KEY: np.array(FORMAT_VERSION)} | content.to_arrays()
        with path.open("wb") as file:  # savez adds `.npz` to a path
            np.savez(file, allow_pickle=False, **arrays)
