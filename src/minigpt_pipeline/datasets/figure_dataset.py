"""Plots."""

from pathlib import Path
from typing import TYPE_CHECKING

from minigpt_pipeline.datasets.local_dataset import LocalDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FigureDataset(LocalDataset["Figure"]):
    """A matplotlib figure as a PNG file; it can be saved, and looked at, but not loaded."""

    def read(self, path: Path) -> "Figure":
        """Refuse: a picture can't be turned back into a figure."""
        raise TypeError(f"{path} is a picture to look at: the figure can't be loaded from it")

    def write(self, path: Path, content: "Figure") -> None:
        """Write the picture, without the versions that would make equal plots differ."""
        content.savefig(path, format="png", dpi=120, metadata={"Software": None})
