"""Columns of any type in a parquet file."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from minigpt_pipeline.datasets.local_dataset import (
    FORMAT_VERSION,
    FORMAT_VERSION_KEY,
    LocalDataset,
    check_format_version,
)


class ArrowTableDataset(LocalDataset[pa.Table]):
    """A pyarrow table, such as reviews with their token ids."""

    def read(self, path: Path) -> pa.Table:
        """Read a parquet file of this format version."""
        table = pq.read_table(path)
        check_format_version(read_format_version(table), path)
        return table

    def write(self, path: Path, content: pa.Table) -> None:
        """Write a parquet file with the format version in its schema."""
        write_parquet(path, content)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table with the format version in its schema's metadata."""
    metadata = (table.schema.metadata or {}) | {FORMAT_VERSION_KEY.encode(): str(FORMAT_VERSION).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")


def read_format_version(table: pa.Table) -> int | None:
    """Return the format version in a table's metadata, None where there is none."""
    version = (table.schema.metadata or {}).get(FORMAT_VERSION_KEY.encode())
    return int(version) if version and version.isdigit() else None
