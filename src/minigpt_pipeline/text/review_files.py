"""New reviews in the files in which people keep them: the archive's layout, tables, or plain texts."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from minigpt_pipeline.parameters import DocumentsParameters, IngestionParameters
from minigpt_pipeline.text.documents import SPLIT, SUFFIXES, TEXT_SUFFIXES, parse_documents, read_table
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews, tabulate_reviews

NO_TEXTS = "readme"
"""Of files that say what a folder holds, the beginning of their names."""

_IN_LAYOUT_OF_IMDB = re.compile(r"(?:.*/)?(aclImdb/(?:train|test)/.*)")
_IMDB_REVIEW = re.compile(r"(?:.*/)?aclImdb/(?:train|test)/(?:pos|neg|unsup)/\d+_\d+\.txt")
_DOCUMENTS = DocumentsParameters(text_column="text")
_FILM, _LABEL, _RATING = "movie_id", "label", "rating"
_MAX_RATING = 10
_LOWEST_POSITIVE, _HIGHEST_NEGATIVE = 7, 4
_ROWS_OF_A_PIECE = 256


@dataclass(frozen=True)
class ReviewFiles:
    """What the files of a batch hold.

    Args:
        reviews: As `imdb.parse_reviews` describes; ids are those in the batch.
        passed_over: Names of files that hold no reviews by their suffix, sorted.
    """

    reviews: pd.DataFrame
    passed_over: tuple[str, ...]


def is_review_file(name: str) -> bool:
    """Return whether a file holds reviews, by its name."""
    path = PurePosixPath(name)
    is_hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not is_hidden and not path.name.lower().startswith(NO_TEXTS)


def parse_review_files(
    files: Iterable[ArchiveMember], ingestion: IngestionParameters, max_bytes: int
) -> ReviewFiles:
    """Read the reviews of some files.

    Where one of them is a review in the layout of the Large Movie Review Dataset, all are read so, with labels, ratings
    and films. Otherwise each row of a table is a review, and text files are read as `documents.parse_documents` reads
    them: one that is alone holds several, with blank lines between them, one of several is a review.

    Args:
        files: Any; read once.
        ingestion: Whether unlabelled reviews are read, and how texts lie in files that are not those of the dataset.
        max_bytes: Of a parquet file, unpacked.

    Returns:
        The reviews. Of a table, `label`, `rating` and `movie_id` are read where it has such columns; a rating without a
        label gets the one that the dataset gives it, 5 and 6 stars none.

    Raises:
        ValueError: If there is no review, or a file can't be read as what its name says.
    """
    kept, passed_over = [], []
    for file in files:
        if is_review_file(file.name):
            kept.append(file)
        else:
            passed_over.append(file.name)
    if any(_IMDB_REVIEW.fullmatch(file.name) for file in kept):
        matches = ((file, _IN_LAYOUT_OF_IMDB.fullmatch(file.name)) for file in kept)
        members = [replace(file, name=match[1]) for file, match in matches if match]
        reviews = parse_reviews(members, ingestion.include_unlabelled)
    else:
        reviews = _parse_own(kept, ingestion.documents or _DOCUMENTS, max_bytes)
    return ReviewFiles(reviews, tuple(sorted(passed_over)))


def _parse_own(files: Sequence[ArchiveMember], settings: DocumentsParameters, max_bytes: int) -> pd.DataFrame:
    is_text = [PurePosixPath(file.name).suffix.lower() in TEXT_SUFFIXES for file in files]
    texts = [file for file, is_one in zip(files, is_text, strict=True) if is_one]
    rows: list[tuple[str, str, str | None, int | None, str | None, str | None]] = []
    for file, is_one in zip(files, is_text, strict=True):
        if not is_one:
            rows += _read_rows(file.name, _read_table(file, settings, max_bytes), settings)
    if not rows or texts:  # without any file this names the suffixes
        one_document = settings.one_document or ("block" if len(files) == 1 else "file")
        documents = parse_documents(texts, settings.model_copy(update={"one_document": one_document}))
        rows += [
            (str(review_id), SPLIT, None, None, None, str(text))
            for review_id, text in zip(documents["review_id"], documents["text"], strict=True)
        ]
    return tabulate_reviews(rows)


def _read_table(file: ArchiveMember, settings: DocumentsParameters, max_bytes: int) -> pd.DataFrame:
    wanted = [settings.text_column, settings.film_column or _FILM, _LABEL, _RATING]
    if PurePosixPath(file.name).suffix.lower() == ".parquet":
        return _read_parquet(file, wanted, max_bytes)
    return read_table(file)


def _read_parquet(file: ArchiveMember, wanted: Sequence[str], max_bytes: int) -> pd.DataFrame:
    """Read some columns a piece at a time: a small file can hold one long text for a million rows."""
    pieces, size = [], 0
    with pq.ParquetFile(pa.BufferReader(file.content)) as table:
        names = table.schema_arrow.names
        columns = [name for name in wanted if name in names]
        if not columns:
            return pd.DataFrame(columns=names)
        for piece in table.iter_batches(_ROWS_OF_A_PIECE, columns=columns):
            size += piece.nbytes
            if size > max_bytes:
                raise ValueError(f"{file.name} has more than {max_bytes / 1e6:,.0f} MB, unpacked")
            pieces.append(piece.to_pandas())
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=columns)


def _read_rows(
    name: str, table: pd.DataFrame, settings: DocumentsParameters
) -> Iterator[tuple[str, str, str | None, int | None, str | None, str | None]]:
    film_column = settings.film_column or _FILM
    needed = [settings.text_column, *([settings.film_column] if settings.film_column else [])]
    for column in needed:
        if column not in table:
            has = ", ".join(map(repr, table.columns[:20])) or "none at all"
            raise ValueError(f"{name} has no column {column!r}, it has {has}: rename the one that is meant")

    def column_of(column: str) -> Iterator[str | None]:
        values = table[column] if column in table else [None] * len(table)
        return (_to_text(value, f"{column} of row {row} of {name}") for row, value in enumerate(values, 1))

    texts, films, labels, ratings = map(column_of, (settings.text_column, film_column, _LABEL, _RATING))
    for row, (text, film, label, rating) in enumerate(zip(texts, films, labels, ratings, strict=True), 1):
        stars = _to_stars(rating, f"rating of row {row} of {name}")
        if label is None and stars is not None:
            label, stars = _label_of(stars), stars if _label_of(stars) else None  # noqa: PLW2901
        yield f"{name}#{row}", SPLIT, label, stars, film, text


def _to_text(value: Any, where: str) -> str | None:
    """Return a cell as a string, null for what is missing; a table in text has no other way to say so than ''."""
    if not pd.api.types.is_scalar(value):
        raise ValueError(f"The {where} is a {type(value).__name__}, expected a string")
    text = None if pd.isna(value) else str(value)
    return text or None


def _to_stars(value: str | None, where: str) -> int | None:
    try:
        stars = None if value is None else float(value)
    except ValueError:
        stars = math.nan
    if stars is None:
        return None
    if stars not in range(1, _MAX_RATING + 1):
        raise ValueError(
            f"The {where} is {value!r}, expected a whole number from 1 to {_MAX_RATING}, or nothing"
        )
    return int(stars)


def _label_of(stars: int) -> str | None:
    if stars >= _LOWEST_POSITIVE:
        return "pos"
    return "neg" if stars <= _HIGHEST_NEGATIVE else None
