"""Data frames in parquet files."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from minigpt_pipeline.datasets.arrow_table_dataset import read_parquet, telling_damage, write_parquet
from minigpt_pipeline.datasets.local_dataset import LocalDataset


class TableDataset(LocalDataset[pd.DataFrame]):
    """A pandas data frame; its column types come back as they were saved."""

    def read(self, path: Path) -> pd.DataFrame:
        """Read a parquet file of this format version."""
        table = read_parquet(path)
        with telling_damage(path):
            frame: pd.DataFrame = table.to_pandas()
        return frame

    def write(self, path: Path, content: pd.DataFrame) -> None:
        """Write a parquet file with the format version in its schema."""
        write_parquet(path, pa.Table.from_pandas(content))

    def preview(self, nrows: int = 20) -> str:
        """Return the first rows for Kedro-Viz, as JSON in its `split` orientation."""
        first_rows: str = self.load().head(nrows).to_json(orient="split")
        return first_rows
