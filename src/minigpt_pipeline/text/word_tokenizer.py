"""Each word is a token, or `[UNK]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import PADDING_ID, UNKNOWN_ID, Vocabulary, choose_words


@dataclass(frozen=True)
class WordTokenizer(Tokenizer):
    """Gives the most frequent words of a corpus a token each.

    Args:
        vocabulary: These words.
        forms: How words are written that have capitals of their own.
    """

    vocabulary: Vocabulary
    forms: tuple[str, ...] = ()
    kind = "word"

    @property
    def unknown_id(self) -> int:
        """Id of `[UNK]`."""
        return UNKNOWN_ID

    @cached_property
    def starts_word(self) -> np.ndarray:
        """All true, but for padding."""
        starts_word: np.ndarray = np.arange(len(self)) != PADDING_ID
        return starts_word

    @cached_property
    def num_characters(self) -> np.ndarray:
        """Characters of each word and the space before it; of `[UNK]` the space."""
        characters = np.array([1 + len(word) for word in self.vocabulary.words])
        characters[PADDING_ID], characters[UNKNOWN_ID] = 0, 1
        return characters

    def __len__(self) -> int:
        """Return the number of words, padding and `[UNK]` among them."""
        return len(self.vocabulary)

    def encode_lists(self, words: pa.ListArray) -> pa.ListArray:
        """Return the ids of whole columns of words, one for each word."""
        return self.vocabulary.encode_lists(words)

    def find(self, word: str) -> int | None:
        """Return the id of a word; null where it is not in the vocabulary."""
        token_id = int(self.vocabulary.encode_words([word])[0])
        return None if token_id == UNKNOWN_ID else token_id

    def decode(self, token_ids: Sequence[int] | np.ndarray) -> str:
        """Return the words with a space between them."""
        return " ".join(self.vocabulary.decode(token_ids))

    def write_on(self, text: str, token_ids: Sequence[int] | np.ndarray) -> str:
        """Return a text with words behind it, a space before each."""
        return " ".join([text, *self.vocabulary.decode(token_ids)])

    def to_content(self) -> dict[str, Any]:
        """Return `words`, in the order of their ids."""
        return {"words": list(self.vocabulary.words)}


def train_word_tokenizer(counts: pa.Table, size: int, forms: tuple[str, ...] = ()) -> WordTokenizer:
    """Take the most frequent words.

    Args:
        counts: Columns `word`, each word once, and `count`.
        size: Ids at most, padding and `[UNK]` included.
        forms: How words are written that have capitals of their own.
    """
    return WordTokenizer(choose_words(counts, size), forms)
