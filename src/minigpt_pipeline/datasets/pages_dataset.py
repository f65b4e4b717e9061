"""Pages that link to each other."""

from pathlib import Path

from minigpt_pipeline.datasets.local_dataset import LocalDataset


class PagesDataset(LocalDataset[dict[str, bytes]]):
    """A folder of files: the key is the path inside the folder, the value the content."""

    def read(self, path: Path) -> dict[str, bytes]:
        """Read all files below the folder."""
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}

    def write(self, path: Path, content: dict[str, bytes]) -> None:
        """Write the folder."""
        for name, page in content.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(page)
