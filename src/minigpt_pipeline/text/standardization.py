"""From the text of a review to its words, by whole columns.

`model.text_vectorization` states the same rules in TensorFlow; a test holds the two together on every review.
Letters outside ASCII keep their case: lower-casing them depends on tables that differ between libraries.
"""

import re
import string
import sys

import pyarrow as pa
import pyarrow.compute as pc

LINE_BREAK = "<br />"
"""The one tag of the IMDb reviews; it stands for white space."""

WHITE_SPACE = "".join(character for character in map(chr, range(sys.maxunicode + 1)) if character.isspace())
"""Every Unicode white space and line separator, U+0085 and U+2028 among them."""

PUNCTUATION_PATTERN = f"[{re.escape(string.punctuation)}]"
"""One ASCII punctuation character; valid in Python's `re` and in RE2."""

WHITE_SPACE_PATTERN = "[" + "".join(f"\\x{{{ord(character):04x}}}" for character in WHITE_SPACE) + "]+"
"""A run of white space, in RE2's notation, which both pyarrow and TensorFlow read."""


def standardize(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Lower the case, drop line breaks, set punctuation apart, and leave single spaces.

    Args:
        texts: string, (num_texts,).

    Returns:
        string, (num_texts,): words separated by one space, none at either end.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = pc.ascii_lower(texts)
    texts = pc.replace_substring(texts, pattern=LINE_BREAK, replacement=" ")
    texts = pc.replace_substring_regex(texts, pattern=f"({PUNCTUATION_PATTERN})", replacement=r" \1 ")
    texts = pc.replace_substring_regex(texts, pattern=WHITE_SPACE_PATTERN, replacement=" ")
    return pc.ascii_trim(texts, characters=" ")


def split_words(texts: pa.Array | pa.ChunkedArray) -> pa.ListArray:
    """Standardize texts and split them into words.

    Args:
        texts: string, (num_texts,).

    Returns:
        list of strings, (num_texts,); a text without a word gives an empty list.
    """
    words = pc.split_pattern(standardize(texts), pattern=" ")
    # Splitting an empty text gives one empty word: take those away again.
    is_empty = pc.equal(pc.list_element(words, 0), "")
    return pc.if_else(is_empty, pa.scalar([], words.type), words)


def to_words(text: str) -> list[str]:
    """Standardize one text and split it into words."""
    words: list[str] = split_words(pa.array([text], pa.string()))[0].as_py()
    return words
