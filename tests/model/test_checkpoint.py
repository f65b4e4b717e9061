import math
from pathlib import Path

import numpy as np
import pytest

from minigpt_pipeline.model.checkpoint import (
    Checkpoint,
    UnusableCheckpointError,
    read_checkpoint,
    write_checkpoint,
)

FINGERPRINT = {"model": "a1", "vocabulary": "b2"}
ARRAYS = {
    "model": [
        np.array([[0.1, -0.0], [np.float32(1e-45), 3.0]], "float32"),
        np.array([7, 2**32 - 1], "uint32"),
    ],
    "optimizer": [np.array(12, "int32"), np.zeros((0, 3), "float32")],
    "best_weights": [],
}


def make_checkpoint(step: int = 12) -> Checkpoint:
    return Checkpoint(step, {"losses": [[12, 0.1 + 0.2, 5.0]], "best_loss": math.inf}, ARRAYS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.checkpoint"
    write_checkpoint(path, make_checkpoint(), FINGERPRINT)
    return path


def test_a_checkpoint_comes_back_bit_for_bit(file: Path) -> None:
    read = read_checkpoint(file, FINGERPRINT)

    assert (read.step, read.state) == (12, make_checkpoint().state)
    assert read.arrays.keys() == ARRAYS.keys()
    for name, arrays in ARRAYS.items():
        assert [(array.dtype, array.shape, array.tobytes()) for array in read.arrays[name]] == [
            (array.dtype, array.shape, array.tobytes()) for array in arrays
        ]


def test_a_flipped_bit_is_noticed_wherever_it_is(file: Path) -> None:
    content = file.read_bytes()
    for position in range(len(content)):
        file.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with pytest.raises(UnusableCheckpointError):
            read_checkpoint(file, FINGERPRINT)


def test_a_file_that_was_cut_off_is_noticed_wherever_it_ends(file: Path) -> None:
    content = file.read_bytes()
    for size in range(len(content)):
        file.write_bytes(content[:size])
        with pytest.raises(
            UnusableCheckpointError, match=r"damaged or cut off|is no checkpoint|format version"
        ):
            read_checkpoint(file, FINGERPRINT)


def test_another_format_version_is_named(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"minigpt checkpoint 1\n", b"minigpt checkpoint 2\n"))

    with pytest.raises(
        UnusableCheckpointError, match="format version 2, this version of the project reads 1"
    ):
        read_checkpoint(file, FINGERPRINT)


def test_another_file_is_no_checkpoint(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04 and so on")

    with pytest.raises(
        UnusableCheckpointError, match=r"begins with b'PK\\x03\\x04 and so on' and is no checkpoint"
    ):
        read_checkpoint(file, FINGERPRINT)


@pytest.mark.parametrize(
    ("fingerprint", "others"),
    [
        ({"model": "a2", "vocabulary": "b2"}, "model"),
        ({"model": "a2", "vocabulary": "b3"}, "model, vocabulary"),
        ({"model": "a1"}, "vocabulary"),
        (FINGERPRINT | {"code": "c4"}, "code"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    file: Path, fingerprint: dict[str, str], others: str
) -> None:
    with pytest.raises(UnusableCheckpointError, match=f"it belongs to a training with other {others}$"):
        read_checkpoint(file, fingerprint)


def test_python_objects_are_never_pickled(tmp_path: Path) -> None:
    checkpoint = Checkpoint(1, {}, {"model": [np.array([{"a": 1}])]})

    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_checkpoint(tmp_path / "a.checkpoint", checkpoint, {})
