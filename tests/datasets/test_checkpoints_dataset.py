from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import CheckpointsDataset
from minigpt_pipeline.model.checkpoint import Checkpoint


def test_the_store_lies_in_the_folder_and_keeps_what_it_is_told(tmp_path: Path) -> None:
    store = CheckpointsDataset(filepath=str(tmp_path / "checkpoints"), keep=1).load()

    for step in (4, 8):
        store.save(Checkpoint(step, {}, {"model": [np.zeros(2)]}))

    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000002.checkpoint"]


def test_at_least_one_checkpoint_must_stay() -> None:
    with pytest.raises(DatasetError, match=r"checkpoints.keep=0 in conf/.*: at least 1 must stay"):
        CheckpointsDataset(filepath="checkpoints", keep=0)


def test_save_is_refused() -> None:
    with pytest.raises(DatasetError, match="the training node saves through the store"):
        CheckpointsDataset(filepath="checkpoints", keep=2).save("anything")  # type: ignore[arg-type]
