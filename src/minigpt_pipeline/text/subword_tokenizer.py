"""Tokens are frequent sequences of bytes inside a word: every text has tokens, and gives its bytes back.

Byte pair encoding (Sennrich et al., 2016) of the bytes of UTF-8 (Radford et al., 2019), from the library `tokenizers`.
A space stands before each word, the first one too, and belongs to it: so a word is encoded the same wherever it stands,
and each distinct word need be encoded only once.

The library knows bytes by symbols: printable characters stand for themselves, the others for those from U+0100 on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tokenizers.models import BPE

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = sorted(set(range(256)) - set(_PRINTABLE))
_SYMBOLS = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + i) for i, byte in enumerate(_OTHERS)}
_BYTES = {symbol: byte for byte, symbol in _SYMBOLS.items()}

SPACE = _SYMBOLS[ord(" ")]
NUM_BYTES = len(_SYMBOLS)

_REPEATED_AT_ONCE = 10_000
"""Occurrences of a word that the library is given in one text."""


@dataclass(frozen=True)
class SubwordTokenizer(Tokenizer):
    """Writes each word as the tokens that merging its bytes, pair by pair, leaves.

    Args:
        tokens: In symbols, by their ids from 1 on; the 256 bytes are among them. Frequent ones come first, as an
            adaptive output layer expects.
        merges: Pairs of tokens that become one, those that are merged first before others, `left right` each.
        forms: How words are written that have capitals of their own.

    Raises:
        ValueError: If a byte or the result of a merge is missing, or a token occurs twice.
    """

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    forms: tuple[str, ...] = ()
    kind = "subword"

    def __post_init__(self) -> None:
        """Check that every text can be encoded."""
        known = set(self.tokens)
        if strange := [merge for merge in self.merges if merge.count(" ") != 1][:5]:
            raise ValueError(
                f"The subword tokenizer merges {strange}, which are no pairs: "
                "make it again with `kedro run --pipelines vectorization`"
            )
        if strange := [token for token in self.tokens if not (token and set(token) <= _BYTES.keys())][:5]:
            raise ValueError(
                f"The subword tokenizer has the tokens {strange}, which stand for no bytes: "
                "make it again with `kedro run --pipelines vectorization`"
            )
        missing = sorted((set(_BYTES) | {merge.replace(" ", "") for merge in self.merges}) - known)
        if missing or len(known) != len(self.tokens):
            what = f"lacks {missing[:5]}" if missing else "holds a token more than once"
            raise ValueError(
                f"The subword tokenizer of {len(self.tokens)} tokens {what}: "
                "make it again with `kedro run --pipelines vectorization`"
            )

    @property
    def unknown_id(self) -> None:
        """Null: every word has tokens."""
        return

    @cached_property
    def starts_word(self) -> np.ndarray:
        """Whether a token begins with a space, bool, (vocabulary_size,)."""
        return np.array([token.startswith(SPACE) for token in ("", *self.tokens)])

    @cached_property
    def num_characters(self) -> np.ndarray:
        """Characters that begin in each token, int64, (vocabulary_size,): all bytes but those that continue one."""
        return np.array([sum(byte & 0xC0 != 0x80 for byte in token) for token in self._bytes])  # noqa: PLR2004 -- UTF-8

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [bytes(_BYTES[symbol] for symbol in token) for token in ("", *self.tokens)]

    @cached_property
    def _model(self) -> "BPE":
        from tokenizers.models import BPE

        ids = {token: token_id for token_id, token in enumerate(self.tokens, start=1)}
        return BPE(ids, [tuple(merge.split(" ")) for merge in self.merges])

    def __len__(self) -> int:
        """Return the number of ids, padding among them."""
        return 1 + len(self.tokens)

    def encode_lists(self, words: pa.ListArray) -> pa.ListArray:
        """Return the ids of whole columns of words, one or more for each word."""
        column = words.flatten().dictionary_encode()
        encoded = [self._encode_piece(f" {word}") for word in column.dictionary.to_pylist()]
        flat = np.fromiter(chain.from_iterable(encoded), np.int32)
        distinct_lengths = np.array([len(token_ids) for token_ids in encoded], dtype=np.int64)
        distinct_starts = np.cumsum(distinct_lengths) - distinct_lengths

        numbers = column.indices.to_numpy()  # (num_words,), of distinct words
        lengths = distinct_lengths[numbers]  # (num_words,)
        ends = np.concatenate([[0], np.cumsum(lengths)])  # (num_words + 1,)
        places = np.arange(ends[-1]) + np.repeat(
            distinct_starts[numbers] - ends[:-1], lengths
        )  # (num_tokens,)
        num_words = pc.list_value_length(words).to_numpy(zero_copy_only=False)  # (num_texts,)
        offsets = ends[np.concatenate([[0], np.cumsum(num_words)])].astype(np.int32)  # (num_texts + 1,)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat[places]))

    def encode_exactly(self, text: str) -> list[int]:
        """Return the tokens of a text as it is, not standardized: `decode` gives it back.

        Of a standardized text they are those of `encode`.
        """
        pieces = f" {text}".split(" ")[1:]
        return [token_id for piece in pieces for token_id in self._encode_piece(f" {piece}")]

    def _encode_piece(self, piece: str) -> list[int]:
        symbols = "".join(_SYMBOLS[byte] for byte in piece.encode())
        return [token.id for token in self._model.tokenize(symbols)]

    def find(self, word: str) -> int | None:
        """Return the id of the token that is a word; null where the word has several."""
        token_ids = self._encode_piece(f" {word}")
        return token_ids[0] if len(token_ids) == 1 else None

    def decode(self, token_ids: Sequence[int] | np.ndarray) -> str:
        """Return the text of some tokens, without the space before the first word.

        Bytes that are no UTF-8, as a model may write them, are read as U+FFFD.
        """
        return self.write_on("", token_ids).removeprefix(" ")

    def write_on(self, text: str, token_ids: Sequence[int] | np.ndarray) -> str:
        """Return a text with some tokens behind it; the first may go on with the last word."""
        return text + b"".join(self._bytes[token_id] for token_id in token_ids).decode(errors="replace")

    def to_content(self) -> dict[str, Any]:
        """Return `tokens`, in the order of their ids from 1 on, and `merges`."""
        return {"tokens": list(self.tokens), "merges": list(self.merges)}


def train_subword_tokenizer(counts: pa.Table, size: int, forms: tuple[str, ...] = ()) -> SubwordTokenizer:
    """Merge the most frequent pair of tokens inside words, again and again.

    Args:
        counts: Columns `word`, each word once, and `count`; their order makes no difference.
        size: Ids at most, padding and the 256 bytes included; fewer where each word is one token.
        forms: How words are written that have capitals of their own.
    """
    counts = counts.sort_by("word")
    words, times = counts["word"].combine_chunks(), counts["count"].to_numpy()
    tokens, merges = _learn_merges(words.to_pylist(), times.tolist(), size)
    unordered = SubwordTokenizer(tuple(tokens), tuple(merges))

    lists = pa.ListArray.from_arrays(pa.array(np.arange(len(words) + 1, dtype=np.int32)), words)
    encoded = unordered.encode_lists(lists)  # (num_words,)
    weights = np.repeat(times, pc.list_value_length(encoded).to_numpy())  # (num_tokens,)
    frequencies = np.bincount(encoded.flatten().to_numpy(), weights, minlength=len(unordered))[1:]
    ordered = sorted(range(len(tokens)), key=lambda place: (-frequencies[place], tokens[place]))
    return SubwordTokenizer(tuple(tokens[place] for place in ordered), tuple(merges), forms)


def _learn_merges(words: Sequence[str], times: Sequence[int], size: int) -> tuple[list[str], list[str]]:
    """Return the tokens and the merges of the library's own training, which does not depend on threads."""
    import json

    from tokenizers import Tokenizer as Library
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import Split
    from tokenizers.trainers import BpeTrainer

    def repeat() -> Iterator[str]:
        for word, count in zip(words, times, strict=True):
            symbols = "".join(_SYMBOLS[byte] for byte in f" {word}".encode())
            for done in range(0, count, _REPEATED_AT_ONCE):
                yield symbols * min(count - done, _REPEATED_AT_ONCE)

    library = Library(BPE())
    library.pre_tokenizer = Split(SPACE, "merged_with_next")
    trainer = BpeTrainer(vocab_size=size - 1, initial_alphabet=list(_BYTES), show_progress=False)
    library.train_from_iterator(repeat(), trainer)
    model = json.loads(library.to_str())["model"]
    return list(model["vocab"]), [" ".join(merge) for merge in model["merges"]]
