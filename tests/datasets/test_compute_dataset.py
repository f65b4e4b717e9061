import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import ComputeDataset

SETTINGS = {"device": "auto", "precision": "float32", "memory_growth": True, "deterministic": True}


def test_load_gives_the_settings() -> None:
    assert ComputeDataset(**SETTINGS).load().model_dump() == SETTINGS


def test_a_wrong_value_is_refused_with_its_name() -> None:
    with pytest.raises(DatasetError, match=r"(?s)catalog_compute.yml\) is wrong.*device.*'tpu'"):
        ComputeDataset(**SETTINGS | {"device": "tpu"})


def test_save_is_refused() -> None:
    with pytest.raises(DatasetError, match="settings stand in conf"):
        ComputeDataset(**SETTINGS).save("anything")  # type: ignore[arg-type]
