"""A page that needs no other file."""

from pathlib import Path

from minigpt_pipeline.datasets.local_dataset import LocalDataset


class PageDataset(LocalDataset[str]):
    """The text of one HTML page."""

    def read(self, path: Path) -> str:
        """Read the page."""
        return path.read_text(encoding="utf-8")

    def write(self, path: Path, content: str) -> None:
        """Write the page with the line ends that it has."""
        path.write_text(content, encoding="utf-8", newline="")
