"""Texts of one's own, in the files in which people keep them, as a table of reviews.

What a document is follows from its file: a text file of a folder is one; a text file alone holds several, with blank
lines between them; each row of a table is one.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from minigpt_pipeline.files import printable
from minigpt_pipeline.parameters import DocumentsParameters
from minigpt_pipeline.text.imdb import ArchiveMember, decode, tabulate_reviews

TEXT_SUFFIXES = (".txt", ".md")
SPLIT = "train"
"""Of every document: which train a model and which measure it is for vectorization to say."""

MAX_HEADER_CHARACTERS = 100_000
"""Of the names of a table's columns: a list of a million names is no table of texts, and takes a gigabyte."""

MAX_LINE_CHARACTERS = 50_000_000
"""Of a line of JSON lines: the smallest values take twenty times the memory of their characters."""

ROWS_OF_A_PIECE = 256
"""Of a parquet file, that are read at once."""

_HALF_OF_A_CHARACTER = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")


def parse_documents(files: Iterable[ArchiveMember], settings: DocumentsParameters) -> pd.DataFrame:
    """Read the documents of some files.

    Args:
        files: By their suffix: `.txt` and `.md` are text in UTF-8; `.csv`, `.tsv`, `.parquet` and `.jsonl` are tables.
        settings: What a document is in them, and how many there may be.

    Returns:
        One row a document, sorted by review_id, as `imdb.parse_reviews` describes: `review_id` is the name of its file,
        and its number there (`notes.txt#3`, counted from 1) where a file may hold several; `split` is `SPLIT`;
        `movie_id` is what the film column holds; label and rating are null.

    Raises:
        ValueError: If there is no document, too many, or a file can't be read as what its name says.
    """
    members = [member for member in files if PurePosixPath(member.name).suffix.lower() in SUFFIXES]
    has_blocks = settings.one_document == "block" or (settings.one_document is None and len(members) == 1)
    rows: list[tuple[str, str | None, str | None]] = []
    for member in members:
        suffix = PurePosixPath(member.name).suffix.lower()
        if suffix not in TEXT_SUFFIXES:
            rows += _read_rows(member, settings)
        elif has_blocks:
            rows += _read_blocks(member, settings.max_documents)
        else:
            rows.append((member.name, decode(member), None))
        check_count(len(rows), settings.max_documents, member.name)
    if not rows:
        raise ValueError(
            f"There is no document: expected files that end in {', '.join(SUFFIXES)}, with a text in them"
        )
    return tabulate_reviews((review_id, SPLIT, None, None, film, text) for review_id, text, film in rows)


def check_count(count: int, most: int | None, name: str) -> None:
    """Refuse more texts than are allowed, before they take the memory; a null of `most` means any."""
    if most is not None and count > most:
        raise ValueError(
            f"There are more than {most:,} texts up to {name}: divide them, or raise max_reviews in "
            "conf/base/parameters_incoming.yml, or of your own texts ingestion.documents.max_documents"
        )


Table = tuple[pd.DataFrame, list[str]]
"""The wanted columns of a file that it has, in the frame; and the names of all, or of the first ones."""


def read_table(member: ArchiveMember, wanted: Sequence[str], settings: DocumentsParameters) -> Table:
    """Read some columns of a file whose suffix is that of a table.

    Args:
        member: The file.
        wanted: Names of columns.
        settings: How large it may be.

    Raises:
        ValueError: If it can't be read as a table, or is larger.
    """
    table, names = _TABLES[PurePosixPath(member.name).suffix.lower()](member, wanted, settings)
    check_count(len(table), settings.max_documents, member.name)
    return table, names


def to_text(value: Any, where: str) -> str | None:
    """Return a cell as a string, null for what is missing.

    Raises:
        ValueError: If it is something else, such as a list, or has half of a character, as JSON may.
    """
    if isinstance(value, bytes) or not pd.api.types.is_scalar(value):
        raise ValueError(f"The {where} is a {type(value).__name__}, expected a string")
    text = None if pd.isna(value) else str(value)
    if text is not None and (half := _HALF_OF_A_CHARACTER.search(text)):
        raise ValueError(
            f"The {where} has half of a character, {half[0]!r} at position {half.start()}, which no file can "
            "keep: repair it"
        )
    return text


def _read_blocks(member: ArchiveMember, most: int | None) -> Iterator[tuple[str, str, None]]:
    text = decode(member).replace("\r\n", "\n").strip()
    blocks = _BLANK_LINES.split(text, maxsplit=most or 0) if text else []
    for number, block in enumerate(blocks, start=1):
        yield f"{member.name}#{number}", block, None


def _read_rows(
    member: ArchiveMember, settings: DocumentsParameters
) -> Iterator[tuple[str, str | None, str | None]]:
    columns = {"text_column": settings.text_column, "film_column": settings.film_column}
    table, names = read_table(member, [column for column in columns.values() if column is not None], settings)
    for setting, column in columns.items():
        if column is not None and column not in table:
            raise ValueError(
                f"{member.name} has no column {column!r}, only {', '.join(map(repr, names[:20]))}: "
                f"name the one that is meant in ingestion.documents.{setting}"
            )
    texts, films = (
        [None] * len(table) if column is None else table[column].tolist() for column in columns.values()
    )
    for number, (text, film) in enumerate(zip(texts, films, strict=True), start=1):
        where = f"row {number} of {member.name}"
        yield f"{member.name}#{number}", to_text(text, f"text of {where}"), to_text(film, f"film of {where}")


def _read_csv(
    member: ArchiveMember, wanted: Sequence[str], settings: DocumentsParameters, separator: str = ","
) -> Table:
    try:
        text = decode(member).removeprefix("\ufeff")  # some spreadsheets begin a file with this mark
        # A line of spaces may be a blank text, which somebody should count; empty lines at the end are none.
        text = text.rstrip("\r\n")
        names = _read_header(text, separator)
        columns = [name for name in wanted if name in names]
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            usecols=columns or None,
            nrows=0 if not columns else settings.max_documents and settings.max_documents + 1,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise ValueError(f"{member.name} can't be read as a table: {printable(str(error))}") from error
    return table[columns], names


def _read_header(text: str, separator: str) -> list[str]:
    """Return the names of the columns."""
    beginning = io.StringIO(text[: MAX_HEADER_CHARACTERS + 1])
    names = next(csv.reader(beginning, delimiter=separator), [])
    if beginning.tell() > MAX_HEADER_CHARACTERS:
        raise pd.errors.ParserError(
            f"the names of its columns have more than {MAX_HEADER_CHARACTERS:,} characters"
        )
    return names


def _read_tsv(member: ArchiveMember, wanted: Sequence[str], settings: DocumentsParameters) -> Table:
    return _read_csv(member, wanted, settings, "\t")


def _read_parquet(member: ArchiveMember, wanted: Sequence[str], settings: DocumentsParameters) -> Table:
    """Read some columns a piece at a time: a small file can hold one long text for a million rows."""
    with _telling_damage(member):
        table = pq.ParquetFile(pa.BufferReader(member.content))
        names = table.schema_arrow.names
        columns = [name for name in wanted if name in names]
        batches = table.iter_batches(ROWS_OF_A_PIECE, columns=columns) if columns else iter(())
    pieces, size, num_rows = [pd.DataFrame(columns=columns)], 0, 0
    while True:
        with _telling_damage(member):
            piece = next(batches, None)
            if piece is None:
                break
            # What it says of pandas' types is not believed.
            pieces.append(piece.to_pandas(ignore_metadata=True))
        size, num_rows = size + piece.nbytes, num_rows + piece.num_rows
        if settings.max_megabytes is not None and size > settings.max_megabytes * 1e6:
            raise ValueError(f"{member.name} has more than {settings.max_megabytes:,.0f} MB, unpacked")
        check_count(num_rows, settings.max_documents, member.name)
    return pd.concat(pieces[1:] or pieces, ignore_index=True), names


@contextmanager
def _telling_damage(member: ArchiveMember) -> Iterator[None]:
    """Say which file it is, whatever pyarrow raises."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{member.name} is no parquet file: {printable(str(error))}") from error


def _read_json_lines(member: ArchiveMember, wanted: Sequence[str], settings: DocumentsParameters) -> Table:
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}  # in their order
    # Not by `splitlines`: a JSON string may have separators of Unicode in it.
    for number, line in enumerate(decode(member).split("\n"), start=1):
        if not line.strip():
            continue
        row = _parse_json_line(line, f"Line {number} of {member.name}")
        rows.append({name: row[name] for name in wanted if name in row})
        names |= dict.fromkeys([*row][:20])
        check_count(len(rows), settings.max_documents, member.name)
    return pd.DataFrame(rows, dtype=object), [*names]


def _parse_json_line(line: str, where: str) -> dict[str, Any]:
    if len(line) > MAX_LINE_CHARACTERS:
        raise ValueError(f"{where} has more than {MAX_LINE_CHARACTERS:,} characters")
    try:
        row = json.loads(line)
    # ValueError: also of a number of more than 4,300 digits; RecursionError: of lists in lists, hundreds deep.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"{where} is no JSON object: {line[:60]!r}")  # noqa: TRY004
    return row


_TABLES: dict[str, Callable[[ArchiveMember, Sequence[str], DocumentsParameters], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
}
SUFFIXES = (*TEXT_SUFFIXES, *_TABLES)
"""Of the files that are read; others are passed over."""
