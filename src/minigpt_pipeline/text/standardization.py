"""From the text of a review to its words, by whole columns.

`model.text_vectorization` states the same rules in TensorFlow; a test holds the two together on every review.
Letters outside ASCII keep their case: lower-casing them depends on tables that differ between libraries.
"""

import re
import string

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LINE_BREAK = "<br />"
"""The one tag of the IMDb reviews; it stands for white space."""

_CAPITAL_LINE_BREAKS = ("<BR />", "<Br />", "<bR />")

WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Every Unicode white space and line separator, as `str.isspace` knows them."""

PUNCTUATION_PATTERN = f"[{re.escape(string.punctuation)}]"
"""One ASCII punctuation character; valid in Python's `re` and in RE2."""


def _match_any(characters: str) -> str:
    return "[" + "".join(f"\\x{{{ord(character):04x}}}" for character in characters) + "]"


WHITE_SPACE_PATTERN = _match_any(WHITE_SPACE) + "+"
"""A run of white space, in RE2's notation, which both pyarrow and TensorFlow read."""

_WIDE_WHITE_SPACE_PATTERN = _match_any("".join(space for space in WHITE_SPACE if not space.isascii()))

# What a byte of UTF-8 is to the splitting; bytes of characters outside ASCII are part of a word.
_SPACE, _PUNCTUATION, _LETTER = 0, 1, 2
_KIND_OF_BYTE = np.full(256, _LETTER, dtype=np.uint8)
_KIND_OF_BYTE[[ord(space) for space in WHITE_SPACE if space.isascii()]] = _SPACE
_KIND_OF_BYTE[[ord(character) for character in string.punctuation]] = _PUNCTUATION

_LOWER_BYTE = np.frombuffer(bytes(range(256)).lower(), dtype=np.uint8)
"""ASCII letters in lower case, all other bytes as they are."""


def split_words(texts: pa.Array | pa.ChunkedArray) -> pa.ListArray:
    """Lower the case, drop line breaks, set punctuation apart, and split at white space.

    The bytes of all texts are looked at at once: one regular expression for each rule takes five times as long.

    Args:
        texts: string, (num_texts,), without nulls; some thousand at a time keep the processor's cache.

    Returns:
        list of strings, (num_texts,); a text without a word gives an empty list.
    """
    return _split(lower(_to_one_array(texts)))


def split_forms(texts: pa.Array | pa.ChunkedArray) -> pa.ListArray:
    """Split as `split_words` does, and leave each word in the form in which it was written: `lower` makes them words.

    Args:
        texts: string, (num_texts,), without nulls.

    Returns:
        list of strings, (num_texts,).
    """
    texts = _to_one_array(texts)
    for line_break in _CAPITAL_LINE_BREAKS:
        texts = pc.replace_substring(texts, pattern=line_break, replacement=LINE_BREAK)
    return _split(texts)


def _to_one_array(texts: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return whole.cast(pa.string())


def _split(texts: pa.StringArray) -> pa.ListArray:
    characters, text_offsets = _view_bytes(_narrow_white_space(texts))
    kinds = _KIND_OF_BYTE[characters]  # (num_bytes,)
    is_letter = kinds == _LETTER
    starts_word = is_letter.copy()
    starts_word[1:] &= ~is_letter[:-1]
    # The last word of a text and the first of the next touch each other.
    first_bytes = text_offsets[:-1][text_offsets[:-1] < text_offsets[1:]]
    starts_word[first_bytes] = is_letter[first_bytes]
    starts_word |= kinds == _PUNCTUATION

    is_kept = kinds != _SPACE
    kept = characters[is_kept]  # the words, one behind the other
    word_offsets = np.append(np.flatnonzero(starts_word[is_kept]), len(kept)).astype(np.int32)
    list_offsets = np.searchsorted(np.flatnonzero(starts_word), text_offsets).astype(np.int32)
    words = pa.StringArray.from_buffers(len(word_offsets) - 1, pa.py_buffer(word_offsets), pa.py_buffer(kept))
    return pa.ListArray.from_arrays(pa.array(list_offsets), words)


def to_words(text: str) -> list[str]:
    """Standardize one text and split it into words."""
    words: list[str] = split_words(pa.array([text], pa.string()))[0].as_py()
    return words


def lower(texts: pa.StringArray) -> pa.StringArray:
    """Lower the case of ASCII letters, the only ones that words have in one case.

    `pyarrow.compute.ascii_lower` (pyarrow 25) returns other bytes for a slice that was cast: its first offset is not 0.
    """
    characters, text_offsets = _view_bytes(texts)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(text_offsets), pa.py_buffer(_LOWER_BYTE[characters])
    )


def _narrow_white_space(texts: pa.StringArray) -> pa.StringArray:
    """Write line breaks and white space outside ASCII as a space."""
    texts = pc.replace_substring(texts, pattern=LINE_BREAK, replacement=" ")
    is_wide = pc.invert(pc.string_is_ascii(texts))  # few are, and regular expressions are slow
    narrowed = pc.replace_substring_regex(
        texts.filter(is_wide), pattern=_WIDE_WHITE_SPACE_PATTERN, replacement=" "
    )
    return pc.replace_with_mask(texts, is_wide, narrowed)


def _view_bytes(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of all texts, uint8, and where each text begins, int32, (num_texts + 1,), without a copy."""
    _, offsets, characters = texts.buffers()
    text_offsets = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    first, last = text_offsets[0], text_offsets[-1]
    return np.frombuffer(characters or b"", np.uint8)[first:last], text_offsets - first
