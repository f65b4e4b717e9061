from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigpt_pipeline.model import fingerprint
from minigpt_pipeline.model.fingerprint import make_fingerprint

PARTS: dict[str, Any] = {
    "sequences": np.arange(6, dtype="int32").reshape(2, 3),
    "model": {"embed_dim": 8, "dropout": 0.1},
    "vocabulary": ("", "[UNK]", "a"),
}


def find_changes(**changed: Any) -> set[str]:
    before, after = make_fingerprint(**PARTS), make_fingerprint(**PARTS | changed)
    return {name for name in before if before[name] != after[name]}


def test_equal_content_has_an_equal_fingerprint() -> None:
    twice = np.repeat(PARTS["sequences"], 2, axis=1)  # every second column is the same, in another layout

    assert find_changes(sequences=twice[:, ::2], model={"dropout": 0.1, "embed_dim": 8}) == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequences", np.array([[0, 1, 2], [3, 4, 6]], "int32")),
        ("sequences", np.arange(6, dtype="int32").reshape(3, 2)),
        ("sequences", np.arange(6, dtype="uint32").reshape(2, 3)),
        ("model", {"embed_dim": 8, "dropout": 0.2}),
        ("vocabulary", ("", "[UNK]", "b")),
    ],
)
def test_other_content_is_named(name: str, value: object) -> None:
    assert find_changes(**{name: value}) == {name}


def test_other_code_and_other_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_fingerprint(**PARTS)
    monkeypatch.setattr(fingerprint, "version", lambda library: "99.0")
    monkeypatch.setattr(fingerprint, "_read_code", lambda: {"model/losses.py": "def loss(): ..."})
    after = make_fingerprint(**PARTS)

    assert {name for name in before if before[name] != after[name]} == {"code", "libraries"}


def test_the_code_is_that_of_model_and_text() -> None:
    assert {"model/training_step.py", "text/sequences.py"} <= fingerprint._read_code().keys()
