import io
import json
import re

import pandas as pd
import pytest

from minigpt_pipeline.parameters import DocumentsParameters, IngestionParameters
from minigpt_pipeline.text.imdb import REVIEW_COLUMNS, ArchiveMember
from minigpt_pipeline.text.review_files import is_review_file, parse_review_files

INGESTION = IngestionParameters(include_unlabelled=False)
MAX_BYTES = 1_000_000


def parse(
    files: dict[str, bytes | str], ingestion: IngestionParameters = INGESTION, max_bytes: int = MAX_BYTES
) -> pd.DataFrame:
    members = (
        ArchiveMember(name, content if isinstance(content, bytes) else content.encode())
        for name, content in files.items()
    )
    return parse_review_files(members, ingestion, max_bytes).reviews


def to_rows(reviews: pd.DataFrame) -> list[list[object]]:
    """Return the rows with None for what is missing."""
    values = reviews[list(REVIEW_COLUMNS)].astype(object)
    return values.where(values.notna(), None).to_numpy().tolist()


def to_parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()


ROWS = [
    ["t#1", "train", "pos", 8, "tt1", "Fine."],
    ["t#2", "train", None, None, None, "Well."],
]


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", "text,label,rating,movie_id\nFine.,pos,8,tt1\nWell.,,,\n"),
        (".csv", "\ufefftext,label,rating,movie_id\nFine.,pos,8.0,tt1\nWell.,,,\n"),
        (".tsv", "rating\tmovie_id\ttext\tlabel\n8\ttt1\tFine.\tpos\n\t\tWell.\t\n"),
        (".jsonl", '{"text": "Fine.", "label": "pos", "rating": 8, "movie_id": "tt1"}\n{"text": "Well."}\n'),
        (
            ".parquet",
            to_parquet(
                pd.DataFrame(
                    {"text": ["Fine.", "Well."], "label": ["pos", None], "rating": [8, None], "movie_id": ["tt1", None]}
                )
            ),
        ),
    ],
)  # fmt: skip
def test_a_row_of_a_table_is_a_review_with_its_label_rating_and_film(
    suffix: str, content: bytes | str
) -> None:
    name = f"t{suffix}"
    assert to_rows(parse({name: content})) == [[row[0].replace("t#", f"{name}#"), *row[1:]] for row in ROWS]  # type: ignore[attr-defined]


def test_a_rating_alone_has_the_label_that_the_dataset_gives_it() -> None:
    reviews = parse({"t.csv": "text,rating\na,1\nb,4\nc,5\nd,6\ne,7\nf,10\n"})

    assert [row[2:4] for row in to_rows(reviews)] == [
        ["neg", 1], ["neg", 4], [None, None], [None, None], ["pos", 7], ["pos", 10]
    ]  # fmt: skip


def test_files_in_the_layout_of_the_dataset_are_read_with_their_films() -> None:
    files = {
        "./aclImdb/train/pos/0_9.txt": "Fine.",
        "./aclImdb/train/urls_pos.txt": "http://www.imdb.com/title/tt0000007/usercomments",
        "./aclImdb/train/unsup/0_0.txt": "?",
        "./aclImdb/README": "About it",
    }

    assert to_rows(parse(files)) == [["train/pos/0", "train", "pos", 9, "tt0000007", "Fine."]]
    everything = parse(files, IngestionParameters(include_unlabelled=True))
    assert everything["review_id"].tolist() == ["train/pos/0", "train/unsup/0"]


def test_a_text_file_alone_holds_several_reviews_and_one_of_several_is_one() -> None:
    alone = parse({"a.txt": "One.\n\nTwo."})
    two = parse({"a.txt": "One.\n\nTwo.", "b.txt": "Three."})
    beside_a_table = parse({"a.txt": "One.\n\nTwo.", "b.csv": "text\nThree.\n"})

    assert alone[["review_id", "text"]].to_numpy().tolist() == [["a.txt#1", "One."], ["a.txt#2", "Two."]]
    assert two["text"].tolist() == ["One.\n\nTwo.", "Three."]
    assert beside_a_table["text"].tolist() == ["One.\n\nTwo.", "Three."]


def test_columns_of_ones_own_are_those_of_ingestion() -> None:
    documents = DocumentsParameters(text_column="body", film_column="author")
    own = IngestionParameters(include_unlabelled=False, documents=documents)

    assert to_rows(parse({"t.csv": "author,body\nAnn,Hello\n"}, own)) == [
        ["t.csv#1", "train", None, None, "Ann", "Hello"]
    ]
    with pytest.raises(ValueError, match=r"t\.csv has no column 'author', it has 'body'"):
        parse({"t.csv": "body\nHello\n"}, own)


def test_other_files_are_passed_over_and_named() -> None:
    files = [ArchiveMember(name, b"text\nx\n") for name in ("a.csv", "photo.jpg", "README.md", ".b.csv")]

    read = parse_review_files(files, INGESTION, MAX_BYTES)

    assert read.reviews["review_id"].tolist() == ["a.csv#1"]
    assert read.passed_over == (".b.csv", "README.md", "photo.jpg")


@pytest.mark.parametrize(
    "name", ["../../etc/x.csv", ".git/x.txt", "__MACOSX/._a.csv", "read_me.doc", "ReadMe.txt"]
)
def test_what_is_hidden_or_above_is_no_review_file(name: str) -> None:
    assert not is_review_file(name)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": "review\nx\n"}, "a.csv has no column 'text', it has 'review'"),
        ({"a.parquet": to_parquet(pd.DataFrame({"review": ["x"]}))}, "a.parquet has no column 'text'"),
        ({"a.csv": b"text\n\xff\n"}, "a.csv is not UTF-8: byte 0xff at position 5"),
        ({"a.jsonl": '{"text": ["x"]}\n'}, "The text of row 1 of a.jsonl is a list, expected a string"),
        ({"a.jsonl": '{"text": "\\ud800"}\n'}, "The text of row 1 of a.jsonl has half of a character"),
        ({"a.csv": "text,rating\nx,good\n"}, "The rating of row 1 of a.csv is 'good', expected a whole number"),
        ({"a.csv": "text,rating\nx,11\n"}, "is '11', expected a whole number from 1 to 10"),
        ({"a.csv": "text,rating\nx,nan\n"}, "is 'nan', expected a whole number"),
        ({"a.csv": "text\n"}, "There is no document"),
        ({"photo.jpg": ""}, "There is no document: expected files that end in .txt, .md"),
    ],
)  # fmt: skip
def test_what_can_t_be_read_is_told(files: dict[str, bytes | str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(files)


def test_a_parquet_file_that_unpacks_to_more_than_is_allowed_is_refused() -> None:
    content = to_parquet(pd.DataFrame({"text": ["a review " * 1000] * 2000}))
    assert len(content) < MAX_BYTES

    with pytest.raises(ValueError, match=r"a\.parquet has more than 1 MB, unpacked"):
        parse({"a.parquet": content})


def test_rows_are_named_by_their_place() -> None:
    lines = "".join(f"{json.dumps({'text': str(number)})}\n" for number in range(3))

    assert parse({"a.jsonl": lines})["review_id"].tolist() == ["a.jsonl#1", "a.jsonl#2", "a.jsonl#3"]
