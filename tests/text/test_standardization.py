import sys

import pyarrow as pa
import pytest

from minigpt_pipeline.text.standardization import WHITE_SPACE, lower, split_forms, split_words, to_words


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


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("A Fine FILM, is it", "A Fine FILM , is it"),
        ("First<br /><BR />Second<Br /><bR />Third", "First Second Third"),
        ("<br<BR />/> É\x85T", "< br / > É T"),
        ("", ""),
    ],
)
def test_split_forms_leaves_the_case_and_splits_where_words_are_split(text: str, forms: str) -> None:
    (found,) = split_forms(pa.array([text])).to_pylist()

    assert found == forms.split(" " if forms else None)
    assert lower(pa.array(found, pa.string())).to_pylist() == to_words(text)


def test_split_words_keeps_texts_apart() -> None:
    words = split_words(pa.chunked_array([["one two", ""], ["Three."]]))

    assert words.to_pylist() == [["one", "two"], [], ["three", "."]]


@pytest.mark.parametrize("string_type", [pa.string(), pa.large_string()], ids=str)
def test_split_words_reads_a_slice_of_a_column(string_type: pa.DataType) -> None:
    texts = pa.array(["never seen", "", "Seen.", "nor this"], string_type)

    assert split_words(texts[1:3]).to_pylist() == [[], ["seen", "."]]
    assert split_words(texts[:0]).to_pylist() == []


def test_split_words_does_not_join_texts_that_touch() -> None:
    assert split_words(pa.array(["ends", "begins", ",", "é", "", "last"])).to_pylist() == [
        ["ends"],
        ["begins"],
        [","],
        ["é"],
        [],
        ["last"],
    ]


def test_white_space_is_what_python_calls_so() -> None:
    every_character = map(chr, range(sys.maxunicode + 1))

    assert "".join(character for character in every_character if character.isspace()) == WHITE_SPACE
