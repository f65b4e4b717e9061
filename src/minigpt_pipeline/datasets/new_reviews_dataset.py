"""The reviews of all batches that were accepted, kept apart from what runs make of them."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from minigpt_pipeline.datasets.arrow_table_dataset import COMPRESSION
from minigpt_pipeline.datasets.incoming_batches_dataset import (
    TAKEN_SUFFIX,
    copy_batch,
    find_digest,
    find_stamp,
)
from minigpt_pipeline.files import printable, remove, replacing, write_entry_through, write_through
from minigpt_pipeline.text.imdb import REVIEW_COLUMNS, REVIEW_TYPES, tabulate_reviews
from minigpt_pipeline.text.incoming_batch import BatchOutcome, CheckedBatch

logger = logging.getLogger(__name__)

FORMAT_VERSION = b"1"
"""Of the table of a batch. It is not that of the other files: those are made again, this one is not."""

FORMAT_VERSION_KEY = b"minigpt_batch_format_version"
PLACES = {BatchOutcome.ACCEPTED: "accepted", BatchOutcome.QUARANTINED: "quarantine"}
ORIGINAL, REVIEWS, REPORT, PAGE = "original", "reviews.parquet", "report.json", "report.html"


class _ChangedError(Exception):
    """A batch has changed since it was checked."""


class NewReviewsDataset(AbstractDataset[list[CheckedBatch], pd.DataFrame]):
    """A folder for each batch, of the files as they came and what was found in them.

    A folder is written beside its place and renamed, and only then the batch is removed from where it was dropped:
    whenever a run is killed, it is whole in one of the places, and the next run comes to the same end.

    Args:
        path: Folder of `accepted` and `quarantine`.
        metadata: For Kedro-Viz.
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        """Keep the place; nothing is read before it is asked for."""
        self.path = Path(path)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Return the reviews of all accepted batches, as `text.imdb.parse_reviews` has them, sorted by review_id.

        Raises:
            DatasetError: If another version of the project wrote a batch.
        """
        tables = [_read_table(folder / REVIEWS) for folder in self._list_accepted()]
        return pd.concat(tables, ignore_index=True) if tables else tabulate_reviews([])

    def save(self, data: list[CheckedBatch]) -> None:
        """Move each batch to where it belongs, in the order of their ids."""
        for place in PLACES.values():
            for leftover in (self.path / place).glob(".*.partial"):
                remove(leftover)
        for checked in sorted(data, key=lambda one: (one.batch.batch_id, one.batch.name)):
            self._take(checked)

    def digest(self) -> str:
        """Return what changes when, and only when, a batch is accepted."""
        ids = "\n".join(folder.name for folder in self._list_accepted())
        return hashlib.sha256(ids.encode()).hexdigest()[:16]

    def _list_accepted(self) -> list[Path]:
        folders = (self.path / PLACES[BatchOutcome.ACCEPTED]).glob("[!.]*")
        return sorted(folder for folder in folders if (folder / REVIEWS).is_file())

    def _take(self, checked: CheckedBatch) -> None:
        batch = checked.batch
        stamp = find_stamp(batch.path)
        if place := PLACES.get(checked.outcome):
            folder = self.path / place / batch.batch_id
            try:
                with replacing(folder) as partial:
                    _write(partial, checked)
            except (_ChangedError, FileNotFoundError):
                told = printable(str(batch.path))
                logger.warning("%s has changed since it was checked: it stays for the next time", told)
                return
            write_entry_through(folder.parent)
        elif find_digest(batch.path) != batch.batch_id:
            return
        _remove_source(batch.path, stamp)

    def _exists(self) -> bool:
        return True  # without a batch the table is empty

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self.path)}


def _write(folder: Path, checked: CheckedBatch) -> None:
    batch = checked.batch
    (folder / ORIGINAL).mkdir(parents=True)
    copy_batch(batch.path, folder / ORIGINAL / batch.name)
    if find_digest(folder / ORIGINAL / batch.name) != batch.batch_id:
        raise _ChangedError
    if checked.outcome is BatchOutcome.ACCEPTED:
        table = pa.Table.from_pandas(checked.kept[list(REVIEW_COLUMNS)], preserve_index=False)
        metadata = (table.schema.metadata or {}) | {FORMAT_VERSION_KEY: FORMAT_VERSION}
        pq.write_table(table.replace_schema_metadata(metadata), folder / REVIEWS, compression=COMPRESSION)
    report = json.dumps(checked.report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / REPORT).write_text(f"{report}\n", encoding="utf-8")
    (folder / PAGE).write_text(checked.page, encoding="utf-8")
    write_through(folder)


def _remove_source(path: Path, stamp: tuple[Any, ...]) -> None:
    """Remove a batch that is kept elsewhere; a folder is renamed first, so that no part of one is ever a batch."""
    taken = path.with_name(f".{path.name}{TAKEN_SUFFIX}")
    remove(taken)
    path.rename(taken)
    found = find_stamp(taken)
    if [entry[1:] for entry in found] != [entry[1:] for entry in stamp]:
        taken.rename(path)  # somebody has put something else in its place
        return
    remove(taken)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{path} is damaged ({error}): move {path.parent / ORIGINAL} back to the incoming folder, and remove "
            f"{path.parent}"
        ) from error
    version = (table.schema.metadata or {}).get(FORMAT_VERSION_KEY)
    if version != FORMAT_VERSION:
        raise DatasetError(
            f"{path} has format version {(version or b'none').decode()}, this version of the project reads "
            f"{FORMAT_VERSION.decode()}: move {path.parent / ORIGINAL} back to the incoming folder, and remove "
            f"{path.parent}"
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame.astype(REVIEW_TYPES)
