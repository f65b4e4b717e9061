"""The Large Movie Review Dataset (Maas et al., ACL 2011) as it lies in its archive.

A review is `aclImdb/train/pos/7_9.txt`: number 7 of its folder, 9 of 10 stars. Line 7 (counted from 0) of
`aclImdb/train/urls_pos.txt` is the page of its film.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)

LABELS = ("neg", "pos")
SPLITS = ("train", "test")
REVIEW_COLUMNS = ("review_id", "split", "label", "rating", "movie_id", "text")

PYTHON_STRING = pd.StringDtype("python", na_value=np.nan)
"""The `str` of pandas, kept as Python objects: who sorts, selects or copies rows copies references and no text."""

REVIEW_TYPES = dict.fromkeys(REVIEW_COLUMNS, PYTHON_STRING) | {"rating": pd.Int8Dtype()}
"""Of the columns of a table of reviews."""

_ROOT = "aclImdb/"
_IN_FOLDER_OF_REVIEWS = re.compile(r"aclImdb/(train|test)/(pos|neg|unsup)/")
_REVIEW = re.compile(r"aclImdb/(train|test)/(pos|neg|unsup)/(\d{1,18})_(\d{1,2})\.txt", re.ASCII)
_FILM_PAGES = re.compile(r"aclImdb/(train|test)/urls_(pos|neg|unsup)\.txt")
_MOST_NAMES, _MOST_CHARACTERS = 5, 200
"""Of files that are passed over, in a message."""
_MOVIE_ID = re.compile(r"/title/(tt\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class ArchiveMember:
    """One file of an archive: its name, and its content as it is stored."""

    name: str
    content: bytes


def parse_reviews(members: Iterable[ArchiveMember], include_unlabelled: bool) -> pd.DataFrame:
    """Read the reviews of an archive, in whatever order its files come.

    Args:
        members: The files; those that are neither a review nor a list of film pages are passed over, and named
            where a review was to be expected.
        include_unlabelled: Also read `train/unsup`, whose reviews have neither label nor rating.

    Returns:
        One row a review, sorted by review_id: `review_id` (`train/pos/7`), `split`, `label` (`pos`, `neg` or null),
        `rating` (Int8, 1 to 10 or null), `movie_id` (`tt0064354`; null where the archive has no page), `text`.

    Raises:
        ValueError: If there is no review in the archive, or a file is not UTF-8.
    """
    rows: list[tuple[str, str, str | None, int | None, str]] = []
    films: dict[str, str] = {}
    strange: list[str] = []  # the first ones
    num_strange = 0
    for member in members:
        if match := _REVIEW.fullmatch(member.name):
            split, folder, number, rating = match.groups()
            if folder in LABELS:
                rows.append((f"{split}/{folder}/{number}", split, folder, int(rating), decode(member)))
            elif include_unlabelled:
                rows.append((f"{split}/{folder}/{number}", split, None, None, decode(member)))
        elif match := _FILM_PAGES.fullmatch(member.name):
            films |= _parse_film_pages(member, *match.groups())
        elif _IN_FOLDER_OF_REVIEWS.match(member.name) or not member.name.startswith(_ROOT):
            num_strange += 1
            strange += [member.name[:_MOST_CHARACTERS]] * (num_strange <= _MOST_NAMES)
    if strange:
        logger.warning(
            "%d files of the archive are no reviews and were passed over: %s%s",
            num_strange,
            ", ".join(map(repr, strange)),
            ", ..." if num_strange > len(strange) else "",
        )
    if not rows:
        raise ValueError(
            "There is no review in the archive: expected files such as aclImdb/train/pos/0_9.txt, "
            "the layout of aclImdb_v1.tar.gz"
        )
    return tabulate_reviews(
        (review_id, split, label, rating, films.get(review_id), text)
        for review_id, split, label, rating, text in rows
    )


def tabulate_reviews(
    rows: Iterable[tuple[str, str, str | None, int | None, str | None, str | None]],
) -> pd.DataFrame:
    """Return a table of reviews, sorted by review_id; its columns are those of `parse_reviews`.

    Args:
        rows: `REVIEW_COLUMNS` of each review, in whatever order.
    """
    # In a broken archive, which repeats an id, by all the rest.
    ordered = sorted(rows, key=lambda row: (row[0], str(row[3]), row[5] or ""))
    values_of_columns = zip(*ordered, strict=True) if ordered else [()] * len(REVIEW_COLUMNS)
    columns = zip(REVIEW_COLUMNS, values_of_columns, strict=True)
    return pd.DataFrame({name: pd.array(values, REVIEW_TYPES[name]) for name, values in columns})


def decode(member: ArchiveMember) -> str:
    """Return the text of a file; raise ValueError where it is not UTF-8."""
    try:
        return member.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{member.name} is not UTF-8: byte {error.object[error.start]:#04x} at position {error.start}; "
            "repair or remove the file"
        ) from error


def _parse_film_pages(member: ArchiveMember, split: str, folder: str) -> dict[str, str]:
    """Return the film of each review of a folder: line N is the page of review N."""
    found = (_MOVIE_ID.search(line) for line in decode(member).splitlines())
    return {f"{split}/{folder}/{number}": match[1] for number, match in enumerate(found) if match}
