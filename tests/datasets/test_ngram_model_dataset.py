from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import NgramModelDataset
from minigpt_pipeline.text.kneser_ney import NgramModel, train_ngram_model

TOKEN_IDS = pa.table({"token_ids": pa.array([[1, 2, 3, 1], [2, 1], []], pa.list_(pa.int32()))})
FRESH = np.array([[1, 2, 1, 0], [3, 3, 2, 1]], np.int32)


@pytest.fixture
def model() -> NgramModel:
    return train_ngram_model(TOKEN_IDS, vocabulary_size=4, order=3)


def test_save_then_load_gives_the_same_bits(tmp_path: Path, model: NgramModel) -> None:
    dataset = NgramModelDataset(filepath=str(tmp_path / "deep" / "ngrams.npz"))

    dataset.save(model)
    loaded = dataset.load()

    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["ngrams.npz"]
    np.testing.assert_equal(loaded.to_arrays(), model.to_arrays())
    assert [array.dtype for array in loaded.to_arrays().values()] == [
        array.dtype for array in model.to_arrays().values()
    ]
    assert loaded.log_probabilities(FRESH).tobytes() == model.log_probabilities(FRESH).tobytes()


def test_saving_twice_gives_the_same_bytes(tmp_path: Path, model: NgramModel) -> None:
    for name in ("first.npz", "second"):
        NgramModelDataset(filepath=str(tmp_path / name)).save(model)

    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize("version", [99, None])
def test_load_refuses_another_format_version(tmp_path: Path, model: NgramModel, version: int | None) -> None:
    path = tmp_path / "ngrams.npz"
    foreign = {"minigpt_format_version": np.array(version)} if version else {}
    np.savez(path, **foreign, **model.to_arrays())

    with pytest.raises(
        DatasetError, match=f"has format version {version}, this version of the project reads 4"
    ):
        NgramModelDataset(filepath=str(path)).load()


def test_load_refuses_pickled_objects(tmp_path: Path) -> None:
    path = tmp_path / "ngrams.npz"
    np.savez(path, keys_1=np.array([{}], dtype=object))

    with pytest.raises(DatasetError, match=r"is not an archive of arrays .*allow_pickle"):
        NgramModelDataset(filepath=str(path)).load()


@pytest.mark.parametrize("size", [0, 10, 700])
def test_load_refuses_a_file_that_is_cut_off(tmp_path: Path, model: NgramModel, size: int) -> None:
    path = tmp_path / "ngrams.npz"
    NgramModelDataset(filepath=str(path)).save(model)
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(DatasetError, match=r"is not an archive of arrays .*make it again"):
        NgramModelDataset(filepath=str(path)).load()
