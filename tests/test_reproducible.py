"""Two clones make the same, bit for bit, and what tells whether they do would see a difference."""

from pathlib import Path

import pytest

from tests.reproducible import FIRST, SECOND, find_differences, run_clone


def test_files_that_differ_or_are_missing_are_named() -> None:
    assert find_differences({"a": b"1", "b": b"2", "c": b"3"}, {"a": b"1", "b": b"0", "d": b"3"}) == [
        "b",
        "c",
        "d",
    ]


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_clones_in_other_surroundings_make_the_same(tmp_path: Path) -> None:
    first = run_clone(FIRST, tmp_path, "test")
    second = run_clone(SECOND, tmp_path, "test")
    assert "data/test/06_models/trained_model.keras" in first
    assert find_differences(first, second) == []
