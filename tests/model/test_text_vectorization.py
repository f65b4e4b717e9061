import tarfile
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt_pipeline.model.text_vectorization import create_text_vectorization, standardize_text
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.vocabulary import Vocabulary, build_vocabulary

NASTY = [
    "Don't miss it<br />10/10!",
    "a<br />b<br /><br />c <BR /> <br/> < br />",
    "next\u0085line, line\u2028separator, paragraph\u2029separator",
    "no\u00a0break \u3000ideographic \u1680ogham \ufeffbom \u200bzero",
    "tab\tnewline\ncarriage\rfeed\x0cvertical\x0b\x1c\x1d\x1e\x1f",
    "ÀÉ ß İI ı ﬁ Ω naïve CAFÉ",
    "[UNK] [unk] -- ... ''' \"\" `` ~^_^ $5.00 \\1 \\\\ ()",
    "nul\x00byte emoji 😀👩‍👩‍👧 combining e\u0301",
    "",
    "   ",
    "<br />",
]


def split_with_keras(texts: list[str]) -> list[list[str]]:
    standardized = standardize_text(tf.constant([text.encode() for text in texts]))
    return [[word.decode() for word in row] for row in tf.strings.split(standardized).to_list()]


def test_standardize_text_agrees_with_the_fast_path_on_nasty_texts() -> None:
    assert split_with_keras(NASTY) == split_words(pa.array(NASTY)).to_pylist()


def test_standardize_text_agrees_with_the_fast_path_on_every_character() -> None:
    """Of the first two planes; no white space lies above U+3000."""
    texts = [f"A{chr(code)}b" for code in range(0x20000) if not 0xD800 <= code <= 0xDFFF]

    words = split_words(pa.array(texts)).to_pylist()
    assert split_with_keras(texts) == words
    spaces = [text[1] for text, split in zip(texts, words, strict=True) if split == ["a", "b"]]
    assert spaces == [text[1] for text in texts if text[1].isspace()]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8))
def test_standardize_text_agrees_with_the_fast_path_on_any_text(texts: list[str]) -> None:
    assert split_with_keras(texts) == split_words(pa.array(texts, pa.string())).to_pylist()


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_vocabulary(split_words(pa.array([text for text in NASTY if "\x00" not in text])), size=40)


def test_text_vectorization_gives_the_ids_of_the_vocabulary(vocabulary: Vocabulary) -> None:
    layer = create_text_vectorization(vocabulary, sequence_length=30)

    ids = np.array(layer(tf.constant([text.encode() for text in NASTY])))

    expected = vocabulary.encode_lists(split_words(pa.array(NASTY))).to_pylist()
    assert ids.tolist() == [(row + [0] * 30)[:30] for row in expected]
    assert layer.get_vocabulary() == list(vocabulary.words)


def test_text_vectorization_survives_a_keras_file(vocabulary: Vocabulary, tmp_path: Path) -> None:
    texts = tf.constant([text.encode() for text in NASTY])
    model = keras.Sequential([keras.Input((), dtype="string"), create_text_vectorization(vocabulary, 12)])
    model.save(tmp_path / "vectorization.keras")

    loaded = keras.saving.load_model(tmp_path / "vectorization.keras")

    assert np.array_equal(loaded(texts), model(texts))


@pytest.mark.full
def test_text_vectorization_agrees_on_every_real_review(imdb_archive: Path) -> None:
    with tarfile.open(imdb_archive) as archive:
        texts = [
            archive.extractfile(member).read().decode()
            for member in archive
            if member.isfile() and member.name.count("/") == 3 and member.name.endswith(".txt")
        ]
    vocabulary = build_vocabulary(split_words(pa.array(texts)), size=20_000)
    layer = create_text_vectorization(vocabulary)

    assert len(texts) >= 50_000
    for start in range(0, len(texts), 1000):
        some = texts[start : start + 1000]
        expected = vocabulary.encode_lists(split_words(pa.array(some))).to_pylist()
        ids = np.array(layer(tf.constant([text.encode() for text in some])))
        lengths = [len(row) for row in expected]
        assert (ids != 0).sum(axis=1).tolist() == lengths
        assert [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)] == expected
