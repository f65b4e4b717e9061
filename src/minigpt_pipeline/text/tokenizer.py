"""What every tokenizer can do: turn the words of a text into the ids of tokens, and back.

A word is one of `text.standardization`; a token is what a model reads and writes, a word or a part of one. Id 0 is no
token: it is padding, and ends a review. A model learns no case, but people read its texts: so a tokenizer also knows
which words have capitals of their own.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.casing import make_casing
from minigpt_pipeline.text.standardization import split_words

PROBES = (
    "The best scene: I didn't like the plot, but the cast (10/10) is fine.<br /><br />A film...",
    '\tHe said "no",\nShe\'s gone -- AND it is 2-hours long!\x85An end\u2028of \xa0 lines\u3000',
    "Na\xefve \xc0\xc9 \xdf \u03a9, caf\xe9 e\u0301; \U0001f600\u200d\u2603 \u0120 [UNK] <BR /> <b>the</b> movie",
)
"""Texts in which whatever a tokenizer does, and the splitting into words before it, leaves its trace."""


class Tokenizer(ABC):
    """Knows the tokens of a model. A token never reaches from one word into the next."""

    kind: ClassVar[str]
    """Its name in parameters and files."""

    forms: tuple[str, ...]
    """How words are written that have capitals of their own; see `casing.choose_forms`."""

    @cached_property
    def casing(self) -> Mapping[str, str]:
        """The forms by their words, whether these are tokens or not."""
        return make_casing(self.forms)

    @cached_property
    def digest(self) -> str:
        """What tells its ids from those of others, 16 hexadecimal digits; forms have no part in it."""
        content = json.dumps([self.kind, self.to_content()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @cached_property
    def encoding_digest(self) -> str:
        """What tells how this process encodes texts from how others do, other versions of libraries among them."""
        content = json.dumps([self.digest, [self.encode(text) for text in PROBES]])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    @abstractmethod
    def unknown_id(self) -> int | None:
        """Id of `[UNK]`, which stands for words without a token of their own; null where every word has tokens."""

    @property
    @abstractmethod
    def starts_word(self) -> np.ndarray:
        """Whether a word begins with a token, bool, (vocabulary_size,)."""

    @property
    @abstractmethod
    def num_characters(self) -> np.ndarray:
        """Characters of each token, int64, (vocabulary_size,); a space before each word is one, and all of `[UNK]`."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of ids, padding among them."""

    @abstractmethod
    def encode_lists(self, words: pa.ListArray) -> pa.ListArray:
        """Return the ids of whole columns of words.

        Args:
            words: list of strings, (num_texts,).

        Returns:
            list of int32, (num_texts,).
        """

    @abstractmethod
    def find(self, word: str) -> int | None:
        """Return the id of the token that is a word; null where none is."""

    @abstractmethod
    def decode(self, token_ids: Sequence[int] | np.ndarray) -> str:
        """Return the words of some tokens with a space between them; padding is left out.

        Raises:
            IndexError: If an id lies outside the vocabulary.
        """

    @abstractmethod
    def write_on(self, text: str, token_ids: Sequence[int] | np.ndarray) -> str:
        """Return a text, as it is, with some tokens behind it."""

    @abstractmethod
    def to_content(self) -> dict[str, Any]:
        """Return all that it consists of but its forms, as JSON can hold it."""

    def encode(self, text: str) -> list[int]:
        """Standardize a text and return the ids of its tokens."""
        token_ids: list[int] = self.encode_lists(split_words(pa.array([text], pa.string())))[0].as_py()
        return token_ids

    def find_unknown_words(self, words: pa.ListArray, token_ids: pa.ListArray) -> pa.ListArray:
        """Return the words that `[UNK]` stands for.

        Args:
            words: list of strings, (num_texts,).
            token_ids: list of int32, (num_texts,): their ids.

        Returns:
            list of strings, (num_texts,), each as long as the list of ids has `[UNK]`.
        """
        if self.unknown_id is None:
            return pa.array([[]] * len(words), pa.list_(pa.string()))
        is_unknown = pc.equal(token_ids.flatten(), self.unknown_id)  # (num_words,)
        num_unknown = np.concatenate([[0], np.cumsum(is_unknown.to_numpy(zero_copy_only=False))])
        ends = np.cumsum(pc.list_value_length(words).to_numpy(zero_copy_only=False))
        offsets = num_unknown[np.concatenate([[0], ends])].astype(np.int32)  # (num_texts + 1,)
        return pa.ListArray.from_arrays(pa.array(offsets), words.flatten().filter(is_unknown))
