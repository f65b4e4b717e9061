from pathlib import Path

import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import FormerDataset, JsonDataset


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


@pytest.fixture
def former(path: Path) -> FormerDataset:
    return FormerDataset(
        dataset={"type": "minigpt_pipeline.datasets.JsonDataset", "filepath": str(path)},
        metadata={"kedro-viz": {"layer": "raw"}},
    )


def test_it_is_null_before_somebody_has_saved_the_file(former: FormerDataset, path: Path) -> None:
    assert former.load() is None
    assert not former.exists()

    JsonDataset(filepath=str(path)).save({"a": 1})

    assert former.load() == {"a": 1}
    assert former.exists()


def test_a_file_of_another_version_is_left_out_with_a_warning(
    former: FormerDataset, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text('{"minigpt_format_version": 0}')

    assert former.load() is None
    assert "has format version 0" in caplog.text


def test_it_is_only_read_and_has_no_lineage(former: FormerDataset) -> None:
    with pytest.raises(DatasetError, match="is only read here"):
        former.save({})
    assert not hasattr(former, "filepath")
