"""The Large Movie Review Dataset (Maas et al., ACL 2011) as it lies in its archive.

A review is `aclImdb/train/pos/7_9.txt`: number 7 of its folder, 9 of 10 stars. Line 7 (counted from 0) of
`aclImdb/train/urls_pos.txt` is the page of its film.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

LABELS = ("neg", "pos")
SPLITS = ("train", "test")
REVIEW_COLUMNS = ("review_id", "split", "label", "rating", "movie_id", "text")

PYTHON_STRING = pd.StringDtype("python", na_value=np.nan)
"""The `str` of pandas, kept as Python objects: who sorts, selects or copies rows copies references and no text."""

_REVIEW = re.compile(r"aclImdb/(train|test)/(pos|neg|unsup)/(\d+)_(\d+)\.txt")
_FILM_PAGES = re.compile(r"aclImdb/(train|test)/urls_(pos|neg|unsup)\.txt")
_MOVIE_ID = re.compile(r"/title/(tt\d+)")


@dataclass(frozen=True)
class ArchiveMember:
    """One file of an archive: its name, and its content as it is stored."""

    name: str
    content: bytes


def parse_reviews(members: Iterable[ArchiveMember], include_unlabelled: bool) -> pd.DataFrame:
    """Read the reviews of an archive, in whatever order its files come.

    Args:
        members: The files; those that are neither a review nor a list of film pages are passed over.
        include_unlabelled: Also read `train/unsup`, whose reviews have neither label nor rating.

    Returns:
        One row a review, sorted by review_id: `review_id` (`train/pos/7`), `split`, `label` (`pos`, `neg` or null),
        `rating` (Int8, 1 to 10 or null), `movie_id` (`tt0064354`; null where the archive has no page), `text`.

    Raises:
        ValueError: If there is no review in the archive, or a file is not UTF-8.
    """
    rows: list[tuple[str, str, str | None, int | None, str]] = []
    films: dict[str, str] = {}
    for member in members:
        if match := _REVIEW.fullmatch(member.name):
            split, folder, number, rating = match.groups()
            if folder in LABELS:
                rows.append((f"{split}/{folder}/{number}", split, folder, int(rating), _decode(member)))
            elif include_unlabelled:
                rows.append((f"{split}/{folder}/{number}", split, None, None, _decode(member)))
        elif match := _FILM_PAGES.fullmatch(member.name):
            films |= _parse_film_pages(member, *match.groups())
    if not rows:
        raise ValueError(
            "There is no review in the archive: expected files such as aclImdb/train/pos/0_9.txt, "
            "the layout of aclImdb_v1.tar.gz"
        )
    rows.sort()  # by review_id, and in a broken archive that repeats one by all the rest
    review_ids, splits, labels, ratings, texts = zip(*rows, strict=True)
    columns = {
        "review_id": review_ids,
        "split": splits,
        "label": labels,
        "rating": ratings,
        "movie_id": [films.get(review_id) for review_id in review_ids],
        "text": texts,
    }
    types = dict.fromkeys(columns, PYTHON_STRING) | {"rating": pd.Int8Dtype()}
    return pd.DataFrame({name: pd.array(values, types[name]) for name, values in columns.items()})


def _decode(member: ArchiveMember) -> str:
    try:
        return member.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{member.name} is not UTF-8: byte {error.object[error.start]:#04x} at position {error.start}; "
            "repair or remove the file"
        ) from error


def _parse_film_pages(member: ArchiveMember, split: str, folder: str) -> dict[str, str]:
    """Return the film of each review of a folder: line N is the page of review N."""
    found = (_MOVIE_ID.search(line) for line in _decode(member).splitlines())
    return {f"{split}/{folder}/{number}": match[1] for number, match in enumerate(found) if match}
