import pyarrow as pa
import pytest

from minigpt_pipeline.text.standardization import split_words, standardize, to_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A Fine FILM", "a fine film"),
        ("first<br /><br />second", "first second"),
        ("Don't miss it: 10/10!", "don ' t miss it : 10 / 10 !"),
        ("end of line\x85next\u2028and\xa0last\tword", "end of line next and last word"),
        ("  around  ", "around"),
        ("\\ ^ ] [ - _", "\\ ^ ] [ - _"),
        ("É stays, é too", "É stays , é too"),
        ("", ""),
        (" \x1c ", ""),
    ],
)
def test_to_words_splits_as_the_rules_say(text: str, words: str) -> None:
    assert to_words(text) == words.split(" " if words else None)


def test_split_words_keeps_texts_apart() -> None:
    words = split_words(pa.chunked_array([["one two", ""], ["Three."]]))

    assert words.to_pylist() == [["one", "two"], [], ["three", "."]]


def test_standardize_leaves_single_spaces() -> None:
    assert standardize(pa.array(["<br />a,b<br />"])).to_pylist() == ["a , b"]
