"""Texts and tables that no person has written."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.parameters import DocumentsParameters, IngestionParameters
from minigpt_pipeline.text.detokenization import to_readable_text
from minigpt_pipeline.text.documents import MAX_HEADER_CHARACTERS, parse_documents
from minigpt_pipeline.text.imdb import ArchiveMember
from minigpt_pipeline.text.review_files import parse_review_files
from minigpt_pipeline.text.standardization import split_words, to_words
from minigpt_pipeline.text.subword_tokenizer import SubwordTokenizer, train_subword_tokenizer
from minigpt_pipeline.text.vocabulary import count_words

SIZE = 10_000_000  # bytes
INGESTION = IngestionParameters(include_unlabelled=False)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """See that something is done in time, of the processor: others may be at work."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds


def read(name: str, content: bytes, max_reviews: int | None = 1000) -> pd.DataFrame:
    return parse_review_files([ArchiveMember(name, content)], INGESTION, 2 * SIZE, max_reviews).reviews


@pytest.fixture(scope="module")
def subwords() -> SubwordTokenizer:
    return train_subword_tokenizer(count_words(split_words(pa.array(["a fine film, and a film"]))), 300)


@pytest.mark.parametrize(
    "text",
    [
        "w" * 500_000,
        pytest.param("w" * SIZE, marks=pytest.mark.full),
        pytest.param("é" * (SIZE // 2), marks=pytest.mark.full),
        pytest.param("w, " * (SIZE // 3), marks=pytest.mark.full),
        "e" + "\u0301" * 1000 + " a\u0300" * 1000,
        "\u202e\u05d0\u05d1 \u202dabc\u202c \u200f",
        "a\x85b\u2028c\u2029d\x00e\ufefff",
        "".join(map(chr, range(0x250, 0x3000, 7))) + "\U0001f600\U000e0001\U0010ffff",
    ],
    ids=[
        "a long word",
        "a word of 10 MB",
        "of letters of two bytes",
        "10 MB",
        "marks",
        "right to left",
        "ends of lines",
        "planes",
    ],
)
def test_any_text_has_words_and_tokens_and_comes_back(text: str, subwords: SubwordTokenizer) -> None:
    with within(20):
        words = to_words(text)
        assert subwords.decode(subwords.encode(text)) == " ".join(words)


@pytest.mark.parametrize(
    "text",
    ["a." * 2000, ', "a' * 1000, "a 'b" * 1000, '"' * 4000, "j. r. " * 600, "- " * 2000, "1.1," * 1000],
)
def test_a_prompt_is_made_readable_in_time(text: str) -> None:
    """A prompt may have 4,000 characters; a chain of 2,000 initials took three seconds, for each word of a stream."""
    words = to_words(text)

    with within(0.5):
        readable = to_readable_text(words, {})

    assert to_words(readable) == words


@pytest.mark.parametrize(
    ("letters", "written"),
    [("p . m .", "p.m."), ("i . e . so", "i.e. so"), ("e . p . m .", "E.P.M."), ("a . b . c . d .", "A.B.C.D.")],
)  # fmt: skip
def test_chains_of_initials_are_still_told_apart(letters: str, written: str) -> None:
    assert to_readable_text(["at", *letters.split()], {}) == f"At {written}"


def test_cells_and_lines_of_10_mb_are_read() -> None:
    long = "A fine film. " * (SIZE // 13)

    assert read("a.csv", f'text\n"{long}"\n'.encode())["text"].tolist() == [long]
    assert read("a.jsonl", b'{"text": "%s"}\n' % long.encode())["text"].tolist() == [long]
    assert read("a.txt", long.encode())["text"].str.len().tolist() == [len(long.strip())]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            b"text" + b"," * SIZE + b"\nx\n",
            f"have more than {MAX_HEADER_CHARACTERS:,} characters",
        ),
        (
            "a.csv",
            b"text\n" + b"\n" * 2000 + b"x",
            "There are more than 1,000 texts up to a.csv: divide them",
        ),
        ("a.tsv", b"text\n" + b"x\n" * 2000, "more than 1,000 texts"),
        ("a.txt", b"x\n\n" * 2000, "more than 1,000 texts"),
        ("a.jsonl", b'{"text": "x"}\n' * 2000, "more than 1,000 texts"),
        ("a.jsonl", b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "Line 1 of a.jsonl is not JSON"),
        ("a.jsonl", b'{"text": %s}' % (b"9" * 5000), "Line 1 of a.jsonl is not JSON: Exceeds the limit"),
        ("a.jsonl", b'{"text": {"a": 1}}', "The text of row 1 of a.jsonl is a dict, expected a string"),
        ("a.jsonl", b'{"text": "\\udfff"}', "has half of a character, '\\udfff' at position 0"),
        ("a.parquet", b"PAR1" + bytes(100) + b"PAR1", "a.parquet is no parquet file"),
    ],
    ids=[
        "columns",
        "rows",
        "TSV rows",
        "blocks",
        "lines",
        "nested",
        "number",
        "object",
        "surrogate",
        "parquet",
    ],
)
def test_tables_that_nobody_has_written_are_refused(name: str, content: bytes, message: str) -> None:
    with within(10), pytest.raises(ValueError, match=r".") as raised:
        read(name, content)

    assert message in str(raised.value)


def test_numbers_and_repeated_keys_are_what_json_has_them_for() -> None:
    content = b'{"text": "first", "text": "A film.", "rating": NaN}\n{"text": 1e999}\n{"text": -Infinity}\n'

    reviews = read("a.jsonl", content)

    assert reviews["text"].tolist() == ["A film.", "inf", "-inf"]
    assert reviews["rating"].isna().all()


def test_nuls_and_marks_are_kept() -> None:
    assert read("a.csv", b"\xef\xbb\xbftext\na\x00b\n")["text"].tolist() == ["a\0b"]
    assert read("a.txt", b"\xef\xbb\xbfa\x00b")["text"].str.len().tolist() == [4]


def test_bytes_are_no_text() -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"text": [b"A film."]}).to_parquet(buffer)

    with pytest.raises(ValueError, match=r"The text of row 1 of a\.parquet is a bytes, expected a string"):
        read("a.parquet", buffer.getvalue())


def test_own_texts_are_bounded_too() -> None:
    settings = DocumentsParameters(text_column="text", max_documents=10)

    with pytest.raises(ValueError, match=r"more than 10 texts .* ingestion\.documents\.max_documents"):
        parse_documents([ArchiveMember("a.csv", b"text\n" + b"x\n" * 20)], settings)
