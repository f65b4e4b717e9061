"""What tells a training from every other: digests of all that decides what comes of it, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from minigpt_pipeline.model.checkpoint import Fingerprint

LIBRARIES = ("keras", "numpy", "tensorflow")
CODE_FOLDERS = ("model", "text")


def make_fingerprint(**parts: Any) -> Fingerprint:
    """Digest the parts of a training, and add the code and the libraries that compute it.

    Args:
        **parts: Arrays, and what JSON can hold, by names that a person understands: they say what differs.
    """
    libraries = [version(library) for library in LIBRARIES]
    named = {**parts, "code": _read_code(), "libraries": libraries}
    return {name: _digest(part) for name, part in named.items()}


def _digest(part: np.ndarray | Sequence[Any] | Mapping[str, Any] | str) -> str:
    """Return the SHA-256 of content; times and places of files have no part in it."""
    if isinstance(part, np.ndarray):
        described = json.dumps([part.dtype.str, part.shape]).encode()
        content = np.ascontiguousarray(part).data.cast("B")
    else:
        described, content = b"", memoryview(json.dumps(part, sort_keys=True).encode())
    digest = hashlib.sha256(described)
    digest.update(content)
    return digest.hexdigest()


def _read_code() -> dict[str, str]:
    package = Path(__file__).parents[1]
    files = [file for folder in CODE_FOLDERS for file in (package / folder).glob("*.py")]
    return {file.relative_to(package).as_posix(): file.read_text(encoding="utf-8") for file in files}
