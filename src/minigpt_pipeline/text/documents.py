"""Texts of one's own, in the files in which people keep them, as a table of reviews.

What a document is follows from its file: a text file of a folder is one; a text file alone holds several, with blank
lines between them; each row of a table is one.
"""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from minigpt_pipeline.parameters import DocumentsParameters
from minigpt_pipeline.text.imdb import ArchiveMember, decode, tabulate_reviews

TEXT_SUFFIXES = (".txt", ".md")
SPLIT = "train"
"""Of every document: which train a model and which measure it is for vectorization to say."""

_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")


def parse_documents(files: Iterable[ArchiveMember], settings: DocumentsParameters) -> pd.DataFrame:
    """Read the documents of some files.

    Args:
        files: By their suffix: `.txt` and `.md` are text in UTF-8; `.csv`, `.tsv`, `.parquet` and `.jsonl` are tables.
        settings: What a document is in them.

    Returns:
        One row a document, sorted by review_id, as `imdb.parse_reviews` describes: `review_id` is the name of its file,
        and its number there (`notes.txt#3`, counted from 1) where a file may hold several; `split` is `SPLIT`;
        `movie_id` is what the film column holds; label and rating are null.

    Raises:
        ValueError: If there is no document, or a file can't be read as what its name says.
    """
    members = [member for member in files if PurePosixPath(member.name).suffix.lower() in SUFFIXES]
    has_blocks = settings.one_document == "block" or (settings.one_document is None and len(members) == 1)
    rows: list[tuple[str, str | None, str | None]] = []
    for member in members:
        suffix = PurePosixPath(member.name).suffix.lower()
        if suffix in TEXT_SUFFIXES:
            rows += _read_blocks(member) if has_blocks else [(member.name, decode(member), None)]
        else:
            rows += _read_rows(member, read_table(member), settings)
    if not rows:
        raise ValueError(
            f"There is no document: expected files that end in {', '.join(SUFFIXES)}, with a text in them"
        )
    return tabulate_reviews((review_id, SPLIT, None, None, film, text) for review_id, text, film in rows)


def read_table(member: ArchiveMember) -> pd.DataFrame:
    """Read a file whose suffix is that of a table.

    Raises:
        ValueError: If it can't be read as one.
    """
    return _TABLES[PurePosixPath(member.name).suffix.lower()](member)


def _read_blocks(member: ArchiveMember) -> Iterator[tuple[str, str, None]]:
    text = decode(member).replace("\r\n", "\n").strip()
    for number, block in enumerate(_BLANK_LINES.split(text) if text else [], start=1):
        yield f"{member.name}#{number}", block, None


def _read_rows(
    member: ArchiveMember, table: pd.DataFrame, settings: DocumentsParameters
) -> Iterator[tuple[str, str | None, str | None]]:
    for setting in ("text_column", "film_column"):
        column = getattr(settings, setting)
        if column is not None and column not in table:
            raise ValueError(
                f"{member.name} has no column {column!r}, only {', '.join(map(repr, table.columns[:20]))}: "
                f"name the one that is meant in ingestion.documents.{setting}"
            )
    texts = [None if pd.isna(text) else str(text) for text in table[settings.text_column]]
    films: list[str | None] = [None] * len(table)
    if settings.film_column is not None:
        films = [None if pd.isna(film) else str(film) for film in table[settings.film_column]]
    for number, (text, film) in enumerate(zip(texts, films, strict=True), start=1):
        yield f"{member.name}#{number}", text, film


def _read_csv(member: ArchiveMember, separator: str = ",") -> pd.DataFrame:
    try:
        text = decode(member).removeprefix("\ufeff")  # some spreadsheets begin a file with this mark
        # A line of spaces may be a blank text, which somebody should count; empty lines at the end are none.
        lines = io.StringIO(text.rstrip("\r\n"))
        return pd.read_csv(lines, sep=separator, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{member.name} can't be read as a table: {error}") from error


def _read_tsv(member: ArchiveMember) -> pd.DataFrame:
    return _read_csv(member, "\t")


def _read_parquet(member: ArchiveMember) -> pd.DataFrame:
    try:
        table: pd.DataFrame = pq.read_table(pa.BufferReader(member.content)).to_pandas()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{member.name} is no parquet file: {error}") from error
    return table


def _read_json_lines(member: ArchiveMember) -> pd.DataFrame:
    rows = []
    # Not by `splitlines`: a JSON string may have separators of Unicode in it.
    for number, line in enumerate(decode(member).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"Line {number} of {member.name} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"Line {number} of {member.name} is no JSON object: {line[:60]!r}")  # noqa: TRY004
        rows.append(row)
    return pd.DataFrame(rows)


_TABLES: dict[str, Callable[[ArchiveMember], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
}
SUFFIXES = (*TEXT_SUFFIXES, *_TABLES)
"""Of the files that are read; others are passed over."""
