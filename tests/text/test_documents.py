import io
import json
from typing import Any

import pandas as pd
import pytest

from minigpt_pipeline.parameters import DocumentsParameters
from minigpt_pipeline.text.documents import parse_documents
from minigpt_pipeline.text.imdb import REVIEW_COLUMNS, ArchiveMember


def parse(files: dict[str, bytes], **settings: Any) -> pd.DataFrame:
    members = [ArchiveMember(name, content) for name, content in files.items()]
    return parse_documents(members, DocumentsParameters(**{"text_column": "text"} | settings))


def texts(files: dict[str, bytes], **settings: Any) -> dict[str, str]:
    table = parse(files, **settings)
    return dict(zip(table["review_id"], table["text"], strict=True))


def test_each_text_file_of_several_is_a_document() -> None:
    files = {"b.txt": b"Two.\n\nStill two.", "a/one.md": "Größe".encode(), "photo.jpg": b"\xff"}

    assert texts(files) == {"a/one.md": "Größe", "b.txt": "Two.\n\nStill two."}


def test_documents_are_a_table_of_reviews_without_what_only_films_have() -> None:
    table = parse({"b.txt": b"Two.", "a.txt": b"One."})

    assert tuple(table.columns) == REVIEW_COLUMNS
    assert table[["label", "rating", "movie_id"]].isna().all(axis=None)
    assert table["split"].tolist() == ["train", "train"]


def test_blank_lines_part_the_documents_of_one_text_file() -> None:
    content = b"\r\nOne,\r\nand on.\r\n\r\n  \r\n\r\nTwo.\r\n"

    assert texts({"all.txt": content}) == {"all.txt#1": "One,\nand on.", "all.txt#2": "Two."}


@pytest.mark.parametrize(
    ("files", "one_document", "expected"),
    [
        ({"a.txt": b"1\n\n2"}, "file", {"a.txt": "1\n\n2"}),
        ({"a.txt": b"1\n\n2", "b.txt": b"3"}, "block", {"a.txt#1": "1", "a.txt#2": "2", "b.txt#1": "3"}),
    ],
)
def test_what_one_document_is_can_be_said(
    files: dict[str, bytes], one_document: str, expected: dict[str, str]
) -> None:
    assert texts(files, one_document=one_document) == expected


ROWS = [{"id": 1, "body": "One.", "author": "x"}, {"id": 2, "body": None, "author": None}]


def make_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer)
    return buffer.getvalue()


TABLES = {
    "t.csv": b'id,body,author\n1,One.,x\n2,"",\n',
    "t.tsv": b"id\tbody\tauthor\n1\tOne.\tx\n2\t\t\n",
    "t.jsonl": "\n".join(map(json.dumps, ROWS)).encode() + b"\n\n",
    "t.parquet": make_parquet(ROWS),
}


@pytest.mark.parametrize("name", TABLES)
def test_each_row_of_a_table_is_a_document(name: str) -> None:
    table = parse({name: TABLES[name]}, text_column="body", film_column="author")

    assert table["review_id"].tolist() == [f"{name}#1", f"{name}#2"]
    assert table["text"].fillna("").tolist() == ["One.", ""]  # whether it is blank is for validation to say
    assert table["movie_id"].fillna("").tolist() == ["x", ""]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"There is no document: expected files that end in \.txt, \.md, \.csv"),
        ({"a.txt": b" \n\n "}, "There is no document"),
        ({"a.txt": b"abc\xff"}, r"a\.txt is not UTF-8: byte 0xff at position 3"),
        (
            {"t.csv": b"id,body\n1,One.\n"},
            r"t\.csv has no column 'text', only 'id', 'body': name .* in ingestion.documents.text_column",
        ),
        ({"t.csv": b""}, r"t\.csv can't be read as a table: No columns"),
        ({"t.csv": b'text\n"a'}, r"t\.csv can't be read as a table: .*EOF inside string"),
        (
            {"t.parquet": b"PAR"},
            r"t\.parquet is no parquet file: .*PAR|t\.parquet is no parquet file: .*size",
        ),
        ({"t.jsonl": b'{"text": "a"}\n{"text"}\n'}, r"Line 2 of t\.jsonl is not JSON: .*column 8"),
        ({"t.jsonl": b"[1]\n"}, r"Line 1 of t\.jsonl is no JSON object: '\[1\]'"),
    ],
)
def test_what_can_t_be_read_is_named(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(files)


def test_a_film_column_that_is_not_there_is_named() -> None:
    with pytest.raises(
        ValueError,
        match=r"has no column 'writer', only 'id', 'body', 'author': name .* in ingestion\.documents\.film_column",
    ):
        parse({"t.csv": TABLES["t.csv"]}, text_column="body", film_column="writer")


def test_lines_of_json_end_at_a_line_feed_alone() -> None:
    content = '{"text": "one\x85two\u2028three"}\r\n{"text": "four"}\n'.encode()

    assert list(texts({"a.jsonl": content}).values()) == ["one\x85two\u2028three", "four"]


def test_a_mark_of_byte_order_is_no_part_of_a_column() -> None:
    assert texts({"a.csv": "\ufefftext\nHello\n".encode()}) == {"a.csv#1": "Hello"}


def test_blank_rows_of_a_table_are_counted_and_the_end_of_the_file_is_none() -> None:
    table = parse({"t.csv": b'text\n   \n""\nHello\n\nYes\n\n\n'})

    assert [str(text).strip() for text in table["text"].fillna("")] == ["", "", "Hello", "", "Yes"]
