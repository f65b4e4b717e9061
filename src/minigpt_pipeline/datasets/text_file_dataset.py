"""Text that people read, and copy from."""

from pathlib import Path

from minigpt_pipeline.datasets.local_dataset import LocalDataset


class TextFileDataset(LocalDataset[str]):
    """A text of any kind in a file of its own."""

    def read(self, path: Path) -> str:
        """Read the text."""
        return path.read_bytes().decode()

    def write(self, path: Path, content: str) -> None:
        """Write the text as UTF-8."""
        path.write_bytes(content.encode())
