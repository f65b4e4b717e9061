"""New reviews in the files in which people keep them: the archive's layout, tables, or plain texts."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pandas as pd

from minigpt_pipeline.parameters import DocumentsParameters, IngestionParameters
from minigpt_pipeline.text.documents import (
    SPLIT,
    SUFFIXES,
    TEXT_SUFFIXES,
    check_count,
    parse_documents,
    read_table,
    to_text,
)
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews, tabulate_reviews

NO_TEXTS = "readme"
"""Of files that say what a folder holds, the beginning of their names."""

_IN_LAYOUT_OF_IMDB = re.compile(r"(?:.*/)?(aclImdb/(?:train|test)/.*)")
_IMDB_REVIEW = re.compile(r"(?:.*/)?aclImdb/(?:train|test)/(?:pos|neg|unsup)/\d{1,18}_\d{1,2}\.txt", re.ASCII)
_DOCUMENTS = DocumentsParameters(text_column="text")
_FILM, _LABEL, _RATING = "movie_id", "label", "rating"
_MAX_RATING = 10
_LOWEST_POSITIVE, _HIGHEST_NEGATIVE = 7, 4


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
    files: Iterable[ArchiveMember],
    ingestion: IngestionParameters,
    max_bytes: int,
    max_reviews: int | None = None,
) -> ReviewFiles:
    """Read the reviews of some files.

    Where one of them is a review in the layout of the Large Movie Review Dataset, all are read so, with labels, ratings
    and films. Otherwise each row of a table is a review, and text files are read as `documents.parse_documents` reads
    them: one that is alone holds several, with blank lines between them, one of several is a review.

    Args:
        files: Any; read once.
        ingestion: Whether unlabelled reviews are read, and how texts lie in files that are not those of the dataset.
        max_bytes: Of a parquet file, unpacked.
        max_reviews: Of files that are not those of the dataset; null means any.

    Returns:
        The reviews. Of a table, `label`, `rating` and `movie_id` are read where it has such columns; a rating without a
        label gets the one that the dataset gives it, 5 and 6 stars none.

    Raises:
        ValueError: If there is no review, there are too many, or a file can't be read as what its name says.
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
        limits = {"max_megabytes": max_bytes / 1e6, "max_documents": max_reviews}
        reviews = _parse_own(kept, (ingestion.documents or _DOCUMENTS).model_copy(update=limits))
    return ReviewFiles(reviews, tuple(sorted(passed_over)))


def _parse_own(files: Sequence[ArchiveMember], settings: DocumentsParameters) -> pd.DataFrame:
    is_text = [PurePosixPath(file.name).suffix.lower() in TEXT_SUFFIXES for file in files]
    texts = [file for file, is_one in zip(files, is_text, strict=True) if is_one]
    rows: list[tuple[str, str, str | None, int | None, str | None, str | None]] = []
    for file, is_one in zip(files, is_text, strict=True):
        if not is_one:
            rows += _read_rows(file, settings)
            check_count(len(rows), settings.max_documents, file.name)
    if not rows or texts:  # without any file this names the suffixes
        one_document = settings.one_document or ("block" if len(files) == 1 else "file")
        documents = parse_documents(texts, settings.model_copy(update={"one_document": one_document}))
        rows += [
            (str(review_id), SPLIT, None, None, None, str(text))
            for review_id, text in zip(documents["review_id"], documents["text"], strict=True)
        ]
    return tabulate_reviews(rows)


def _read_rows(
    file: ArchiveMember, settings: DocumentsParameters
) -> Iterator[tuple[str, str, str | None, int | None, str | None, str | None]]:
    name, film_column = file.name, settings.film_column or _FILM
    table, names = read_table(file, [settings.text_column, film_column, _LABEL, _RATING], settings)
    needed = [settings.text_column, *([settings.film_column] if settings.film_column else [])]
    for column in needed:
        if column not in table:
            has = ", ".join(map(repr, names[:20])) or "none at all"
            raise ValueError(f"{name} has no column {column!r}, it has {has}: rename the one that is meant")

    def column_of(column: str) -> Iterator[str | None]:
        values = table[column] if column in table else [None] * len(table)
        # A table in text has no other way to say that something is missing than ''.
        return (
            to_text(value, f"{column} of row {row} of {name}") or None for row, value in enumerate(values, 1)
        )

    texts, films, labels, ratings = map(column_of, (settings.text_column, film_column, _LABEL, _RATING))
    for row, (text, film, label, rating) in enumerate(zip(texts, films, labels, ratings, strict=True), 1):
        stars = _to_stars(rating, f"rating of row {row} of {name}")
        if label is None and stars is not None:
            label, stars = _label_of(stars), stars if _label_of(stars) else None  # noqa: PLW2901
        yield f"{name}#{row}", SPLIT, label, stars, film, text


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
