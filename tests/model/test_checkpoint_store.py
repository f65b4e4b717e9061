import logging
from pathlib import Path

import numpy as np
import pytest

from minigpt_pipeline.model import checkpoint_store
from minigpt_pipeline.model.checkpoint import Checkpoint, Fingerprint
from minigpt_pipeline.model.checkpoint_store import CheckpointStore

OURS = {"training": "a1"}
THEIRS = {"training": "b2"}
LAST_STEP = 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def make_store(folder: Path, fingerprint: Fingerprint = OURS, keep: int = 2) -> CheckpointStore:
    return CheckpointStore(folder, keep).for_training(fingerprint)


def make_checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"words": 10 * step}, {"model": [np.full(3, step, "float32")]})


def save(folder: Path, *steps: int, fingerprint: Fingerprint = OURS) -> None:
    for step in steps:
        make_store(folder, fingerprint).save(make_checkpoint(step))


def load_step(folder: Path, fingerprint: Fingerprint = OURS, last_step: int = LAST_STEP) -> int | None:
    loaded = make_store(folder, fingerprint).load_newest(last_step)
    return loaded.step if loaded else None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_checkpoint_comes_back(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(folder, 4, 8)

    with caplog.at_level(logging.INFO):
        loaded = make_store(folder).load_newest(LAST_STEP)

    assert loaded is not None
    assert (loaded.step, loaded.state["words"], loaded.arrays["model"][0].tolist()) == (8, 80, [8.0] * 3)
    assert caplog.messages == [f"Resuming from step 8 of 100: {folder / '000002.checkpoint'}"]


def test_without_a_checkpoint_there_is_nothing_to_tell(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert load_step(folder) is None

    assert caplog.messages == []


def test_no_more_are_kept_than_asked_for(folder: Path) -> None:
    save(folder, *range(1, 12))

    assert names(folder) == ["000010.checkpoint", "000011.checkpoint"]


@pytest.mark.parametrize("keep", [1, 3])
def test_the_number_that_is_kept_can_be_set(folder: Path, keep: int) -> None:
    store = make_store(folder, keep=keep)
    for step in range(5):
        store.save(make_checkpoint(step))

    assert len(names(folder)) == keep


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder, 4, 8)
    newest = folder / "000002.checkpoint"
    newest.write_bytes(newest.read_bytes()[:-1])

    with caplog.at_level(logging.INFO):
        assert load_step(folder) == 4

    assert f"The checkpoint {newest} can't be used: its " in caplog.text
    assert "damaged or cut off" in caplog.text


def test_with_every_checkpoint_damaged_training_starts_from_the_beginning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder, 4, 8)
    for path in folder.iterdir():
        path.write_bytes(b"")

    assert load_step(folder) is None
    assert f"No checkpoint in {folder} can be used: starting from the beginning" in caplog.text


def test_a_checkpoint_of_another_training_is_passed_over(folder: Path) -> None:
    save(folder, 4)
    save(folder, 8, fingerprint=THEIRS)

    assert load_step(folder) == 4
    assert load_step(folder, THEIRS) == 8


def test_a_checkpoint_behind_the_end_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(folder, 4, 8)

    assert load_step(folder, last_step=8) == 8
    assert load_step(folder, last_step=7) == 4
    assert "it stands at step 8, and the training ends at step 7" in caplog.text


def test_unusable_checkpoints_stay_until_there_is_a_better_one(folder: Path) -> None:
    save(folder, 50, 60, fingerprint=THEIRS)

    store = make_store(folder)
    assert store.load_newest(LAST_STEP) is None
    assert len(names(folder)) == 2
    store.save(make_checkpoint(4))

    assert names(folder) == ["000003.checkpoint"]
    assert load_step(folder) == 4


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_good_one(folder: Path) -> None:
    save(folder, 4, 8)
    (folder / "000002.checkpoint").write_bytes(b"")

    store = make_store(folder)
    store.load_newest(LAST_STEP)
    store.save(make_checkpoint(6))

    assert names(folder) == ["000001.checkpoint", "000003.checkpoint"]


class KilledError(Exception):
    """Stands for `kill -9`."""


def raise_killed(*_: object) -> None:
    raise KilledError


@pytest.mark.parametrize(
    ("killed_in", "newest"), [("write_checkpoint", 8), ("_sync_folder", 12)], ids=["before", "after"]
)
def test_a_kill_before_or_after_the_rename_leaves_whole_checkpoints(
    folder: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str, newest: int
) -> None:
    save(folder, 4, 8)
    monkeypatch.setattr(checkpoint_store, killed_in, raise_killed)
    with pytest.raises(KilledError):
        save(folder, 12)

    monkeypatch.undo()
    assert load_step(folder) == newest
    save(folder, 16)
    assert len(names(folder)) == 2
    assert load_step(folder) == 16


def test_what_a_killed_writer_left_is_no_checkpoint_and_is_overwritten(folder: Path) -> None:
    save(folder, 4, 8)
    (folder / ".000003.checkpoint.partial").write_bytes(b"minigpt check")

    assert load_step(folder) == 8
    save(folder, 12)

    assert names(folder) == ["000002.checkpoint", "000003.checkpoint"]


def test_clear_removes_everything_and_may_be_called_again(folder: Path) -> None:
    save(folder, 4)
    (folder / ".000002.checkpoint.partial").write_bytes(b"")

    make_store(folder).clear()
    make_store(folder).clear()

    assert not folder.exists()
    assert load_step(folder) is None
