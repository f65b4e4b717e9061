"""Checkpoints, arrays, tables and archives with pickles in them: nobody unpickles them."""

import hashlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets.arrow_table_dataset import ArrowTableDataset, add_format_version
from minigpt_pipeline.datasets.ngram_model_dataset import NgramModelDataset
from minigpt_pipeline.datasets.table_dataset import TableDataset
from minigpt_pipeline.model.checkpoint import FORMAT_NAME, FORMAT_VERSION, read_checkpoint
from tests.security.conftest import Payload, run_unsafely

UNPICKLE = "import pickle, sys; pickle.loads(open(sys.argv[1], 'rb').read())"
LOAD_ARRAYS = "import numpy, sys; dict(numpy.load(sys.argv[1], allow_pickle=True))['x']"


def make_array_of_objects(mark: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    return file.getvalue()


def test_a_checkpoint_of_objects_is_refused(mark: Path, tmp_path: Path) -> None:
    array = make_array_of_objects(mark)
    description = {"fingerprint": {}, "step": 1, "state": {}, "arrays": {"weights": 1}}
    content = FORMAT_NAME + b"%d\n" % FORMAT_VERSION + json.dumps(description).encode() + b"\n" + array
    path = tmp_path / "000001.checkpoint"
    path.write_bytes(content + hashlib.sha256(content).digest())
    (tmp_path / "array.npy").write_bytes(array)
    run_unsafely("import numpy, sys; numpy.load(sys.argv[1], allow_pickle=True)", tmp_path / "array.npy")
    assert mark.exists()  # the payload is live
    mark.unlink()

    with pytest.raises(ValueError, match=r"[Oo]bject"):
        read_checkpoint(path, {})
    assert not mark.exists()


def test_arrays_of_objects_are_refused(mark: Path, tmp_path: Path) -> None:
    path = tmp_path / "ngram_model.npz"
    np.savez(path, allow_pickle=True, x=np.array([Payload(mark)], dtype=object))
    run_unsafely(LOAD_ARRAYS, path)
    assert mark.exists()
    mark.unlink()

    with pytest.raises(DatasetError):
        NgramModelDataset(filepath=str(path)).load()
    assert not mark.exists()


@pytest.mark.parametrize("dataset", [ArrowTableDataset, TableDataset])
@pytest.mark.parametrize("name", ["arrow.py_extension_type", "pandas.object"])
def test_a_table_with_a_pickled_type_is_read_as_plain_columns(
    dataset: type[ArrowTableDataset | TableDataset], name: str, mark: Path, pickled: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "reviews.parquet"
    extension = {"ARROW:extension:name": name.encode(), "ARROW:extension:metadata": pickled}
    column = pa.field("text", pa.string(), metadata=extension)
    described = {"index_columns": [], "columns": [{"name": "text", "pandas_type": "object", "numpy_type": "object",
                 "metadata": {"pickle": pickled.hex()}}], "column_indexes": []}  # fmt: skip
    schema = add_format_version(pa.schema([column], metadata={b"pandas": json.dumps(described).encode()}))
    pq.write_table(
        pa.table({"text": ["fine"]}).cast(pa.schema([pa.field("text", pa.string())])).cast(schema), path
    )
    assert pickled in pq.read_schema(path).field("text").metadata.values() or pickled in path.read_bytes()
    (tmp_path / "pickle").write_bytes(pickled)
    run_unsafely(UNPICKLE, tmp_path / "pickle")
    assert mark.exists()
    mark.unlink()

    read = dataset(filepath=str(path)).load()
    assert list(read["text"].to_pylist() if isinstance(read, pa.Table) else read["text"]) == ["fine"]
    assert not mark.exists()


def test_a_column_of_pickles_stays_bytes(mark: Path, pickled: bytes, tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    schema = add_format_version(pa.schema([pa.field("text", pa.binary())]))
    pq.write_table(pa.table({"text": [pickled]}, schema=schema), path)

    assert TableDataset(filepath=str(path)).load()["text"].tolist() == [pickled]
    assert not mark.exists()


@pytest.mark.parametrize("name", ["trained_model.keras", "tokenizer.json", "reviews.parquet"])
def test_a_pickle_in_the_place_of_a_file_is_refused(
    name: str, mark: Path, pickled: bytes, tmp_path: Path
) -> None:
    from minigpt_pipeline.datasets.tokenizer_dataset import TokenizerDataset
    from minigpt_pipeline.datasets.trained_model_dataset import TrainedModelDataset

    kinds = {
        "trained_model.keras": TrainedModelDataset,
        "tokenizer.json": TokenizerDataset,
        "reviews.parquet": TableDataset,
    }
    (tmp_path / name).write_bytes(pickled)

    with pytest.raises(DatasetError):
        kinds[name](filepath=str(tmp_path / name)).load()  # type: ignore[abstract]
    assert not mark.exists()


def test_the_study_store_keeps_json(tmp_path: Path, mark: Path) -> None:
    """Optuna's tables hold numbers, words and JSON; a pickle in the place of JSON is no JSON."""
    import sqlite3

    import optuna

    address = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=address, study_name="search")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with sqlite3.connect(tmp_path / "study.db") as database:
        text = pickle.dumps(Payload(mark), protocol=0).decode()
        database.execute("UPDATE trial_params SET distribution_json = ?", (text,))
    with pytest.raises(ValueError):  # noqa: PT011 -- json's own
        _ = optuna.load_study(storage=address, study_name="search").trials
    assert not mark.exists()
