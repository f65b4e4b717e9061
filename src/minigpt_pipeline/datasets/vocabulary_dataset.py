"""The vocabulary of a corpus."""

from pathlib import Path

from minigpt_pipeline.datasets.json_dataset import JsonDataset
from minigpt_pipeline.datasets.local_dataset import LocalDataset
from minigpt_pipeline.text.vocabulary import Vocabulary


class VocabularyDataset(LocalDataset[Vocabulary]):
    """A JSON object whose `words` stand in the order of their ids."""

    def read(self, path: Path) -> Vocabulary:
        """Read the words."""
        return Vocabulary(tuple(JsonDataset(filepath=str(path)).read(path)["words"]))

    def write(self, path: Path, content: Vocabulary) -> None:
        """Write the words."""
        JsonDataset(filepath=str(path)).write(path, {"words": list(content.words)})
