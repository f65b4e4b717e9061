"""The words that a model knows, each with its id."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PADDING_ID = 0
UNKNOWN_ID = 1
PADDING = ""
UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class Vocabulary:
    """Words by id: 0 is padding, 1 stands for every word that is not in the vocabulary.

    Args:
        words: All entries in the order of their ids, `("", "[UNK]", most frequent word, ...)`.

    Raises:
        ValueError: If the two special entries are not in their places, or a word occurs twice.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check what every user of the ids relies on."""
        if self.words[:2] != (PADDING, UNKNOWN):
            raise ValueError(
                f"A vocabulary begins with {(PADDING, UNKNOWN)}, this one with {self.words[:2]}: "
                "make it again with `kedro run --pipelines vectorization`"
            )
        if len(self._ids) != len(self.words):
            repeated = next(word for i, word in enumerate(self.words) if self._ids[word] != i)
            raise ValueError(f"The vocabulary holds {repeated!r} more than once")

    def __len__(self) -> int:
        """Return the number of entries, padding and `[UNK]` among them."""
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: word_id for word_id, word in enumerate(self.words)}

    @cached_property
    def _known(self) -> pa.StringArray:
        return pa.array(self.words[2:], pa.string())  # (vocabulary_size - 2,)

    def encode_words(self, words: Iterable[str]) -> np.ndarray:
        """Return the id of each word, int32, (num_words,); `UNKNOWN_ID` for words outside the vocabulary."""
        return np.array([self._ids.get(word, UNKNOWN_ID) for word in words], dtype=np.int32)

    def encode_lists(self, words: pa.ListArray) -> pa.ListArray:
        """Return the ids of whole columns of words.

        Args:
            words: list of strings, (num_texts,).

        Returns:
            list of int32, (num_texts,), each as long as the list of words it comes from.
        """
        ids = pc.index_in(words.flatten(), value_set=self._known)  # (num_words,), null where unknown
        ids = pc.fill_null(pc.add(ids, 2), UNKNOWN_ID).cast(pa.int32())
        lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), ids)

    def decode(self, token_ids: Sequence[int] | np.ndarray) -> list[str]:
        """Return the word of each id, without padding.

        Raises:
            IndexError: If an id lies outside the vocabulary.
        """
        return [self.words[token_id] for token_id in token_ids if token_id != PADDING_ID]


def count_words(words: pa.ListArray) -> pa.Table:
    """Count how often each word of some texts occurs.

    Args:
        words: list of strings, (num_texts,).

    Returns:
        Columns `word`, each word once, and `count`, int64.
    """
    counts = pc.value_counts(words.flatten())  # (num_distinct_words,) of {values, counts}
    return pa.table({"word": counts.field("values"), "count": counts.field("counts")})


def add_counts(counts: Sequence[pa.Table]) -> pa.Table:
    """Add up the counts of a corpus that was counted piece by piece.

    Args:
        counts: What `count_words` returned for each piece.

    Returns:
        The same of the whole corpus, in an order that depends on nothing else.
    """
    summed = pa.concat_tables(counts).group_by("word").aggregate([("count", "sum")])
    return summed.rename_columns(["word", "count"]).sort_by("word")


def choose_words(counts: pa.Table, size: int) -> Vocabulary:
    """Take the most frequent words.

    Words of equal frequency are taken in descending order of their code points, as `TextVectorization.adapt` does.

    Args:
        counts: Columns `word`, each word once, and `count`.
        size: Entries of the vocabulary at most, padding and `[UNK]` included.
    """
    # A text may spell the special entries itself; they keep their own ids.
    table = counts.filter(pc.invert(pc.is_in(counts["word"], value_set=pa.array([PADDING, UNKNOWN]))))
    order = pc.sort_indices(table, sort_keys=[("count", "descending"), ("word", "descending")])
    return Vocabulary((PADDING, UNKNOWN, *table["word"].take(order[: size - 2]).to_pylist()))


def build_vocabulary(words: pa.ListArray, size: int) -> Vocabulary:
    """Take the most frequent words of a corpus that is small enough to be split at once.

    Args:
        words: list of strings, (num_texts,).
        size: Entries of the vocabulary at most, padding and `[UNK]` included.
    """
    return choose_words(count_words(words), size)
