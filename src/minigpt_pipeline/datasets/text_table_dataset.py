"""Data frames of long texts, written and read some thousand rows at a time: neither way holds the texts twice."""

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from minigpt_pipeline.datasets.arrow_table_dataset import (
    COMPRESSION,
    ROWS_OF_A_GROUP,
    add_format_version,
    read_format_version,
    telling_damage,
)
from minigpt_pipeline.datasets.local_dataset import LocalDataset, check_format_version
from minigpt_pipeline.text.imdb import PYTHON_STRING

ROWS_OF_A_PIECE = 1024
"""About a megabyte of text: while it is split into words it stays in the processor's cache."""


@dataclass(frozen=True)
class ParquetPieces:
    """The rows of a parquet file as record batches, read when they are asked for, and again in each loop."""

    path: Path

    @property
    def num_rows(self) -> int:
        """Rows of the file."""
        with _open(self.path) as file:
            num_rows: int = file.metadata.num_rows
            return num_rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read the file from its first row."""
        with _open(self.path) as file:
            yield from file.iter_batches(ROWS_OF_A_PIECE)


class _TextDataset(LocalDataset[Any], ABC):
    """The file that both classes below have in common."""

    def load(self) -> Any:
        """Read the content, after what earlier nodes have freed went back to the system."""
        pa.default_memory_pool().release_unused()
        return super().load()

    def write(self, path: Path, content: pd.DataFrame) -> None:
        """Write a parquet file with the format version in its schema."""
        schema = _infer_schema(content)
        with pq.ParquetWriter(path, schema, compression=COMPRESSION) as writer:
            for start in range(
                0, max(len(content), 1), ROWS_OF_A_GROUP
            ):  # a table without a row is one group
                rows = content.iloc[start : start + ROWS_OF_A_GROUP]
                piece = pa.Table.from_pandas(rows, schema=schema)
                writer.write_table(piece.replace_schema_metadata(schema.metadata))

    def preview(self, nrows: int = 20) -> str:
        """Return the first rows for Kedro-Viz, as JSON in its `split` orientation."""
        with _open(self.filepath) as file:
            first_rows: str = _to_pandas(next(file.iter_batches(nrows))).to_json(orient="split")
        return first_rows


class TextTableDataset(_TextDataset):
    """A pandas data frame whose strings are Python objects."""

    def read(self, path: Path) -> pd.DataFrame:
        """Read a parquet file of this format version."""
        with _open(path) as file:
            pieces = [_to_pandas(piece) for piece in file.iter_batches(ROWS_OF_A_GROUP)]
            return pd.concat(pieces or [_to_pandas(file.schema_arrow.empty_table())], ignore_index=True)


class TextPiecesDataset(_TextDataset):
    """A data frame that is loaded as `ParquetPieces`, for work that needs no row but those at hand."""

    def read(self, path: Path) -> ParquetPieces:
        """Return the pieces of a parquet file of this format version."""
        with _open(path):
            return ParquetPieces(path)


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    with telling_damage(path), pq.ParquetFile(path) as file:
        check_format_version(read_format_version(file.schema_arrow), path)
        yield file


def _infer_schema(frame: pd.DataFrame) -> pa.Schema:
    """Return the types of a frame's columns, of all strings the one that pandas itself gives to its own."""
    schema = pa.Schema.from_pandas(frame)
    fields = [field.with_type(pa.large_string()) if field.type == pa.string() else field for field in schema]
    return add_format_version(pa.schema(fields, schema.metadata))


def _to_pandas(rows: pa.RecordBatch | pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = rows.to_pandas(types_mapper={pa.large_string(): PYTHON_STRING}.get)
    return frame
