"""Which texts the project has already, and how their reviews are labelled."""

import hashlib
from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa

from minigpt_pipeline.text.imdb import LABELS

_POSITIVE = LABELS[1]
_DIGEST_SIZE = 16  # bytes, in place of a whole text


class KnownTexts:
    """Texts by their digest; a copy of one is known, bit for bit.

    Attributes:
        num_positive: Different texts labelled `pos`.
        num_labelled: Different texts with a label.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._digests: set[bytes] = set()
        self.num_positive = 0
        self.num_labelled = 0

    def __len__(self) -> int:
        """Return the number of different texts."""
        return len(self._digests)

    def add_pieces(self, pieces: Iterable[pa.RecordBatch]) -> None:
        """Add reviews; columns `text` and `label`."""
        for piece in pieces:
            self._add(piece["text"].to_pylist(), piece["label"].to_pylist())

    def add(self, reviews: pd.DataFrame) -> None:
        """Add reviews; columns `text` and `label`."""
        self._add(reviews["text"], reviews["label"])

    def find(self, texts: pd.Series) -> pd.Series:
        """Return whether each text is known, bool; a missing one is not."""
        is_known = [isinstance(text, str) and _digest(text) in self._digests for text in texts]
        return pd.Series(is_known, index=texts.index, dtype=bool)

    def _add(self, texts: Iterable[Any], labels: Iterable[Any]) -> None:
        for text, label in zip(texts, labels, strict=True):
            if not isinstance(text, str) or (digest := _digest(text)) in self._digests:
                continue
            self._digests.add(digest)
            self.num_positive += label == _POSITIVE
            self.num_labelled += label in LABELS


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_SIZE).digest()
