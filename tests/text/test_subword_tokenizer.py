import itertools
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.subword_tokenizer import NUM_BYTES, SubwordTokenizer, train_subword_tokenizer
from minigpt_pipeline.text.vocabulary import count_words

WORDS = pa.array([["aa", "ab", "aa", "aa"], [], ["ab", "b", "c"]])
COUNTS = count_words(WORDS)
TOKENIZER = train_subword_tokenizer(COUNTS, size=1 + NUM_BYTES + 3)
NASTY = [
    "",
    " ",
    "  a  b ",
    "\n\t\x00",
    "ÀÉ ß Ω naïve",
    "😀👩‍👩‍👧 e\u0301",
    "next\u0085line\u2028",
    "Ġ Ċ ĠĠ",
    "[UNK] <br />",
]


def test_pairs_are_merged_by_their_counts() -> None:
    """` a` occurs five times, ` aa` three times, ` ab` twice."""
    assert TOKENIZER.merges == ("Ġ a", "Ġa a", "Ġa b")
    assert [TOKENIZER.find(word) for word in ("aa", "ab", "b", "nothing")] == [1, 3, None, None]


def test_frequent_tokens_have_low_ids() -> None:
    """` aa` is read three times, ` ab` and the spaces of ` b` and ` c` twice, `b` and `c` once, ` a` never."""
    assert TOKENIZER.tokens[:6] == ("Ġaa", "Ġ", "Ġab", "b", "c", "!")
    assert len(TOKENIZER) == 260


def test_training_does_not_depend_on_the_order_of_the_words() -> None:
    shuffled = COUNTS.take(pa.array([3, 1, 0, 2]))

    assert train_subword_tokenizer(shuffled, size=260) == TOKENIZER


def test_training_gives_the_same_in_other_processes() -> None:
    code = """
import pyarrow as pa
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
words = pa.table({"word": [chr(97 + i % 26) * (i % 5) + chr(97 + i * 7 % 26) for i in range(130)], "count": [3] * 130})
tokenizer = train_subword_tokenizer(words, 320)
print(tokenizer.tokens, tokenizer.merges)
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "RAYON_NUM_THREADS": str(1 + seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(3)
    }

    assert len(outputs) == 1


def test_training_ends_where_each_word_is_one_token() -> None:
    tokenizer = train_subword_tokenizer(COUNTS, size=10_000)

    assert len(tokenizer) == 1 + NUM_BYTES + 5  # with ` b` and ` c`
    assert len(tokenizer.encode("aa ab b c")) == 4


def test_a_long_text_of_one_word_is_counted_in_full() -> None:
    counts = pa.table({"word": ["xy", "xz"], "count": [25_001, 25_000]})

    assert train_subword_tokenizer(counts, size=1 + NUM_BYTES + 2).merges == ("Ġ x", "Ġx y")


def test_a_word_begins_with_a_space_which_is_a_character() -> None:
    token_ids = np.array(TOKENIZER.encode("aa c naïve"))

    assert TOKENIZER.starts_word[token_ids].tolist() == [True, True, False, True, *[False] * 6]
    assert TOKENIZER.num_characters[token_ids].sum() == len(" aa c naïve")
    assert (TOKENIZER.starts_word[0], TOKENIZER.num_characters[0]) == (False, 0)


def test_encode_lists_reads_each_word_by_itself() -> None:
    assert TOKENIZER.encode_lists(WORDS).to_pylist() == [[1, 3, 1, 1], [], [3, 2, 4, 2, 5]]
    assert TOKENIZER.encode_lists(WORDS[1:]).to_pylist() == [[], [3, 2, 4, 2, 5]]
    assert TOKENIZER.encode_lists(WORDS[:0]).to_pylist() == []


def test_no_word_is_unknown() -> None:
    assert TOKENIZER.unknown_id is None
    assert TOKENIZER.find_unknown_words(WORDS, TOKENIZER.encode_lists(WORDS)).to_pylist() == [[], [], []]


@pytest.mark.parametrize("length", range(5))
def test_every_short_text_gives_its_bytes_back(length: int) -> None:
    for characters in itertools.product("abc é", repeat=length):
        text = "".join(characters)
        assert TOKENIZER.decode(TOKENIZER.encode_exactly(text)) == text


@pytest.mark.parametrize("text", NASTY)
def test_a_nasty_text_gives_its_bytes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode_exactly(text)) == text


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_gives_its_bytes_back(text: str) -> None:
    token_ids = TOKENIZER.encode_exactly(text)

    assert TOKENIZER.decode(token_ids) == text
    assert 0 not in token_ids
    assert TOKENIZER.num_characters[token_ids].sum() == len(text) + 1


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_standardized_text_is_encoded_exactly(text: str) -> None:
    standardized = " ".join(split_words(pa.array([text], pa.string()))[0].as_py())

    token_ids = TOKENIZER.encode(text)

    assert TOKENIZER.decode(token_ids) == standardized
    assert token_ids == (TOKENIZER.encode_exactly(standardized) if standardized else [])


def test_write_on_may_go_on_with_the_last_word() -> None:
    assert TOKENIZER.write_on("The b", TOKENIZER.encode_exactly("b aa")[1:]) == "The bb aa"
    assert TOKENIZER.write_on("The", [*TOKENIZER.encode("aa"), 0]) == "The aa"


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    lead_byte = TOKENIZER.encode_exactly("é")[1]

    assert TOKENIZER.decode([*TOKENIZER.encode("aa"), lead_byte]) == "aa\ufffd"


@pytest.mark.parametrize(
    ("tokens", "merges", "message"),
    [
        (TOKENIZER.tokens[:-1], TOKENIZER.merges, "of 258 tokens lacks"),
        (TOKENIZER.tokens, (*TOKENIZER.merges, "b c"), r"lacks \['bc'\]"),
        ((*TOKENIZER.tokens, "b"), TOKENIZER.merges, "holds a token more than once"),
    ],
)
def test_a_damaged_tokenizer_is_refused(
    tokens: tuple[str, ...], merges: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SubwordTokenizer(tokens, merges)


@pytest.mark.slow
def test_real_reviews_give_their_bytes_back(imdb_archive: Path) -> None:
    with tarfile.open(imdb_archive) as archive:
        members = (m for m in archive if m.isfile() and m.name.count("/") == 3 and m.name.endswith(".txt"))
        texts = [archive.extractfile(member).read().decode() for member in itertools.islice(members, 5000)]
    words = split_words(pa.array(texts))
    tokenizer = train_subword_tokenizer(count_words(words), size=5000)

    encoded = tokenizer.encode_lists(words)

    for text, split, token_ids in zip(texts, words.to_pylist(), encoded.to_pylist(), strict=True):
        assert tokenizer.decode(token_ids) == " ".join(split)
        assert tokenizer.decode(tokenizer.encode_exactly(text)) == text
    frequencies = np.bincount(encoded.flatten().to_numpy(), minlength=len(tokenizer))[1:]
    assert (np.diff(frequencies) <= 0).all()
