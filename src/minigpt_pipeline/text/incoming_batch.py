"""New data as it was dropped into the project, and what became of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from minigpt_pipeline.text.imdb import ArchiveMember

ID_OF_NEW_REVIEWS = "new/"
"""How the ids of new reviews begin: `new/<batch id>/<id in the batch>`."""


class UnreadableBatchError(ValueError):
    """A batch can't be read as what the names of its files say, or is larger than is allowed."""


class BatchOutcome(StrEnum):
    """What becomes of a batch."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    TAKEN_BEFORE = "taken before"
    """It was accepted in an earlier run; what lies there is a copy, or what a killed run had not removed yet."""


@dataclass(frozen=True)
class IncomingBatch:
    """A file, an archive or a folder with new reviews.

    Args:
        batch_id: Digest of the names and contents of its files, 16 hexadecimal digits.
        name: Of the file or folder.
        path: Where it lies.
        size: Of its files, in bytes.
        open: Yields its files, those of an archive unpacked in memory, and raises `UnreadableBatchError` where they
            can't be read or have more bytes between them than it is told.
    """

    batch_id: str
    name: str
    path: Path
    size: int
    open: Callable[[int], Iterator[ArchiveMember]]


@dataclass(frozen=True)
class CheckedBatch:
    """A batch with all that is to be kept of it.

    Args:
        batch: The files.
        outcome: What becomes of them.
        kept: The reviews that training may see, as `text.imdb.parse_reviews` has them; no row unless accepted.
        measured: The reviews that drift is measured on: those that are kept, or in a batch that is not accepted all
            that have a text.
        report: What was found, JSON-able.
        page: The same for people.
    """

    batch: IncomingBatch
    outcome: BatchOutcome
    kept: pd.DataFrame
    measured: pd.DataFrame
    report: dict[str, Any]
    page: str = ""


def name_review(batch_id: str, review_id: str) -> str:
    """Return the id that a review of a batch has in the project."""
    return f"{ID_OF_NEW_REVIEWS}{batch_id}/{review_id}"


def find_batch_ids(review_ids: pd.Series) -> frozenset[str]:
    """Return the batches that new reviews come from."""
    return frozenset(review_ids.str.split("/").str[1])
