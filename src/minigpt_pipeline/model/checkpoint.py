"""A training that was interrupted, in one file that is either whole or known not to be.

The file begins with a line that names the format and its version, and a line of JSON: which training it belongs to,
how far that had come, and how many arrays follow. The arrays follow as NumPy writes them, and the SHA-256 of all of
this ends the file. Nothing in it is ever pickled.
"""

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from minigpt_pipeline.files import printable

FORMAT_NAME = b"minigpt checkpoint "
FORMAT_VERSION = 1
DIGEST_SIZE = hashlib.sha256().digest_size
CHUNK_SIZE = 1 << 20  # bytes; a checkpoint is never held in memory a second time
MAX_DESCRIPTION_SIZE = 1 << 28
"""Bytes of the line of JSON, which holds all that was measured so far: some kilobytes an hour."""

Fingerprint = dict[str, str]
"""Digests, by name, of all that decides what comes of a training; see `fingerprint.py`."""


class UnusableCheckpointError(ValueError):
    """A file is no checkpoint, is damaged, or belongs to another training."""


@dataclass(frozen=True)
class Checkpoint:
    """How far a training has come.

    Args:
        step: Optimizer steps done.
        state: What JSON can hold. Floats come back with all their bits.
        arrays: Lists of arrays by name, such as the weights of the model.
    """

    step: int
    state: dict[str, Any]
    arrays: dict[str, list[np.ndarray]]


def write_checkpoint(path: Path, checkpoint: Checkpoint, fingerprint: Fingerprint) -> None:
    """Write a checkpoint, and wait until the disk has it.

    Args:
        path: The file; see `files.replacing` for how to put it in its place as a whole.
        checkpoint: What to write.
        fingerprint: Of the training that it belongs to.

    Raises:
        ValueError: If an array holds Python objects.
    """
    description = {
        "fingerprint": fingerprint,
        "step": checkpoint.step,
        "state": checkpoint.state,
        "arrays": {name: len(arrays) for name, arrays in checkpoint.arrays.items()},
    }
    with path.open("wb") as file:
        digested = _DigestingFile(file)
        digested.write(FORMAT_NAME + b"%d\n" % FORMAT_VERSION)
        digested.write(json.dumps(description).encode() + b"\n")
        for arrays in checkpoint.arrays.values():
            for array in arrays:
                np.lib.format.write_array(digested, array, allow_pickle=False)
        file.write(digested.digest.digest())
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(path: Path, fingerprint: Fingerprint) -> Checkpoint:
    """Read a checkpoint of a training.

    Args:
        path: The file.
        fingerprint: Of the training that shall go on.

    Raises:
        UnusableCheckpointError: If it is no checkpoint of this format version, is damaged, or belongs to another
            training.
    """
    with path.open("rb") as file:
        first_line = file.readline(len(FORMAT_NAME) + 20)
        _check_version(first_line)
        _check_digest(file)
        file.seek(len(first_line))
        try:
            description = _Description.model_validate(json.loads(file.readline(MAX_DESCRIPTION_SIZE)))
            _check_fingerprint(description.fingerprint, fingerprint)
            arrays = {
                name: [_read_array(file) for _ in range(number)]
                for name, number in description.arrays.items()
            }
        except UnusableCheckpointError:
            raise
        # A digest is no proof of who has written it, and NumPy evaluates the heads of arrays as Python's literals.
        except Exception as error:
            told = " ".join(str(error).split())
            raise UnusableCheckpointError(
                f"what it holds is no checkpoint of this project: {told}"
            ) from error
    return Checkpoint(description.step, description.state, arrays)


class _Description(BaseModel):
    """The line of JSON."""

    model_config = ConfigDict(strict=True)

    fingerprint: Fingerprint
    step: NonNegativeInt
    state: dict[str, Any]
    arrays: dict[str, NonNegativeInt]


def _read_array(file: BinaryIO) -> np.ndarray:
    """Read an array, unless its head says that it is larger than the rest of the file: NumPy would make room for it."""
    start = file.tell()
    version = np.lib.format.read_magic(file)
    read_head = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_head(file)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > left:
        raise UnusableCheckpointError(f"an array of shape {shape} is said to be in the last {left} bytes")
    file.seek(start)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


class _DigestingFile:
    """Passes on what is written, and digests it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self.digest.update(content)
        self._file.write(content)


def _check_version(first_line: bytes) -> None:
    if not first_line.startswith(FORMAT_NAME):
        raise UnusableCheckpointError(f"it begins with {first_line[:20]!r} and is no checkpoint")
    version = first_line.removeprefix(FORMAT_NAME).decode(errors="replace")
    if version != f"{FORMAT_VERSION}\n":
        raise UnusableCheckpointError(
            f"it has format version {printable(version.strip())}, this version of the project reads {FORMAT_VERSION}"
        )


def _check_digest(file: BinaryIO) -> None:
    """Compare the content with the digest at its end, before anything in it is believed."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest, left = hashlib.sha256(), size - DIGEST_SIZE
    while left > 0:
        chunk = file.read(min(CHUNK_SIZE, left))
        digest.update(chunk)
        left -= len(chunk)
    if digest.digest() != file.read():
        raise UnusableCheckpointError(
            f"its {size} bytes are not those that were written: it is damaged or cut off"
        )


def _check_fingerprint(found: Fingerprint, expected: Fingerprint) -> None:
    others = sorted(name for name in expected | found if found.get(name) != expected.get(name))
    if others:
        raise UnusableCheckpointError(f"it belongs to a training with other {', '.join(others)}")
