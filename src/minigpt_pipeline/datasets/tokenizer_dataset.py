"""The tokenizer of a corpus."""

from pathlib import Path

from minigpt_pipeline.datasets.json_dataset import JsonDataset
from minigpt_pipeline.datasets.local_dataset import LocalDataset
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.tokenizer_json import describe_tokenizer, make_tokenizer


class TokenizerDataset(LocalDataset[Tokenizer]):
    """A JSON object: the kind of the tokenizer, and its tokens in the order of their ids."""

    def read(self, path: Path) -> Tokenizer:
        """Read a tokenizer of either kind."""
        return make_tokenizer(JsonDataset(filepath=str(path)).read(path))

    def write(self, path: Path, content: Tokenizer) -> None:
        """Write all that the tokenizer consists of."""
        JsonDataset(filepath=str(path)).write(path, describe_tokenizer(content))
