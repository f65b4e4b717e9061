import pyarrow as pa
import pytest

from minigpt_pipeline.text.vocabulary import (
    UNKNOWN_ID,
    Vocabulary,
    add_counts,
    build_vocabulary,
    choose_words,
    count_words,
)

WORDS = pa.array([["the", "film", "the", "end"], [], ["film", "the", "a", "b"]])


def test_build_vocabulary_orders_by_count_then_word_descending() -> None:
    assert build_vocabulary(WORDS, 20).words == ("", "[UNK]", "the", "film", "end", "b", "a")


def test_build_vocabulary_counts_padding_and_unknown_in_its_size() -> None:
    assert build_vocabulary(WORDS, 4).words == ("", "[UNK]", "the", "film")


def test_build_vocabulary_keeps_a_text_from_naming_the_special_entries() -> None:
    assert build_vocabulary(pa.array([["[UNK]", "[UNK]", "film"]]), 9).words == ("", "[UNK]", "film")


def test_add_counts_does_not_depend_on_how_the_corpus_is_cut() -> None:
    pieces = [count_words(WORDS[:1]), count_words(WORDS[1:2]), count_words(WORDS[2:])]

    assert choose_words(add_counts(pieces), 20) == build_vocabulary(WORDS, 20)
    assert choose_words(add_counts(pieces[::-1]), 4) == build_vocabulary(WORDS, 4)


def test_encode_lists_agrees_with_encode_words() -> None:
    vocabulary = build_vocabulary(WORDS, 5)

    encoded = vocabulary.encode_lists(WORDS)

    assert encoded.to_pylist() == [vocabulary.encode_words(words).tolist() for words in WORDS.to_pylist()]
    assert encoded.to_pylist()[2][-1] == UNKNOWN_ID


def test_encode_lists_reads_a_slice_of_a_column() -> None:
    vocabulary = build_vocabulary(WORDS, 20)

    assert vocabulary.encode_lists(WORDS[1:]).to_pylist() == [[], [3, 2, 6, 5]]


def test_decode_leaves_padding_out() -> None:
    assert Vocabulary(("", "[UNK]", "film")).decode([2, 1, 0, 0]) == ["film", "[UNK]"]


def test_vocabulary_refuses_wrong_special_entries() -> None:
    with pytest.raises(ValueError, match=r"begins with \('', '\[UNK\]'\), this one with \('film', 'the'\)"):
        Vocabulary(("film", "the"))


def test_vocabulary_refuses_a_repeated_word() -> None:
    with pytest.raises(ValueError, match="holds 'film' more than once"):
        Vocabulary(("", "[UNK]", "film", "the", "film"))
