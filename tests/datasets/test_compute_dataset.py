import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import ComputeDataset
from minigpt_pipeline.parameters import ComputeSettings

SETTINGS = {"device": "auto", "precision": "float32", "memory_growth": True, "deterministic": True}


def test_load_gives_the_settings() -> None:
    found = ComputeDataset(**SETTINGS, visible_devices=[0, 2], strategy="mirrored", metadata={"a": 1}).load()

    assert found == ComputeSettings(**SETTINGS, visible_devices=(0, 2), strategy="mirrored")


def test_an_unknown_setting_is_refused_with_its_name() -> None:
    with pytest.raises(DatasetError, match="memory_limit is no setting of conf/"):
        ComputeDataset(**SETTINGS, memory_limit=4000)


def test_a_wrong_value_is_refused_with_its_name() -> None:
    with pytest.raises(DatasetError, match=r"`compute` is wrong: device='tpu': Input should be .* \(conf/"):
        ComputeDataset(**SETTINGS | {"device": "tpu"})


def test_save_is_refused() -> None:
    with pytest.raises(DatasetError, match="settings stand in conf"):
        ComputeDataset(**SETTINGS).save("anything")  # type: ignore[arg-type]
