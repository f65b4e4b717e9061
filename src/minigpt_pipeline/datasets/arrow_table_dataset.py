"""Columns of any type in a parquet file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import DatasetError

from minigpt_pipeline.datasets.local_dataset import (
    FORMAT_VERSION,
    FORMAT_VERSION_KEY,
    LocalDataset,
    check_format_version,
)

COMPRESSION = "zstd"
ROWS_OF_A_GROUP = 4096
"""Rows that are encoded and decoded at once: with reviews some megabytes."""


class ArrowTableDataset(LocalDataset[pa.Table]):
    """A pyarrow table, such as reviews with their token ids."""

    def read(self, path: Path) -> pa.Table:
        """Read a parquet file of this format version."""
        return read_parquet(path)

    def write(self, path: Path, content: pa.Table) -> None:
        """Write a parquet file with the format version in its schema."""
        write_parquet(path, content)


@contextmanager
def telling_damage(path: Path) -> Iterator[None]:
    """Say which file it is that can't be read as parquet, and what to do."""
    try:
        yield
    except (DatasetError, FileNotFoundError):
        raise
    except Exception as error:  # of pyarrow and pandas, of many kinds where somebody has changed the file
        raise DatasetError(
            f"{path} is damaged or no parquet file ({error}): make it again by running the pipeline that writes it"
        ) from error


def read_parquet(path: Path) -> pa.Table:
    """Read a parquet file of this format version.

    Raises:
        DatasetError: If it is damaged, or of another version.
    """
    with telling_damage(path):
        table = pq.read_table(path)
    check_format_version(read_format_version(table.schema), path)
    return table


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table with the format version in its schema's metadata."""
    pa.default_memory_pool().release_unused()  # what made the table
    versioned = table.replace_schema_metadata(add_format_version(table.schema).metadata)
    pq.write_table(versioned, path, compression=COMPRESSION, row_group_size=ROWS_OF_A_GROUP)


def add_format_version(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the format version in its metadata."""
    version = {FORMAT_VERSION_KEY.encode(): str(FORMAT_VERSION).encode()}
    return schema.with_metadata((schema.metadata or {}) | version)


def read_format_version(schema: pa.Schema) -> int | None:
    """Return the format version in a schema's metadata, None where there is none."""
    version = (schema.metadata or {}).get(FORMAT_VERSION_KEY.encode())
    return int(version) if version and version[:10].isdigit() and len(version) < 10 else None  # noqa: PLR2004 -- digits
