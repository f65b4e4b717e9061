"""A page that needs no other file."""

from pathlib import Path

from minigpt_pipeline.datasets.local_dataset import LocalDataset


class PageDataset(LocalDataset[str]):
    """The text of one HTML page."""

    def read(self, path: Path) -> str:
        """Read the page."""
        return path.read_bytes().decode()

    def write(self, path: Path, content: str) -> None:
        """Write the page as UTF-8."""
        path.write_bytes(content.encode())
