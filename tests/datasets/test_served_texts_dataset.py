from datetime import UTC, datetime
from pathlib import Path

import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import ServedTextsDataset
from minigpt_pipeline.text.served_text import write_line
from tests.served import make_text


def test_days_are_files_named_so_and_nothing_else(tmp_path: Path) -> None:
    for name in ("2026-11-26.jsonl", "2026-11-25.jsonl", "notes.jsonl", "20261126.jsonl", "2026-11-26.txt"):
        (tmp_path / name).write_bytes(write_line(make_text()))

    served = ServedTextsDataset(path=str(tmp_path), data="data").load()

    assert sorted(served.days) == ["2026-11-25", "2026-11-26"]
    assert served.data == "data"
    assert abs((datetime.now(UTC) - served.read_at).total_seconds()) < 60
    assert len(served.read(None, 0).texts) == 2


def test_a_day_may_be_removed_while_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-26.jsonl"
    path.write_bytes(write_line(make_text()))
    served = ServedTextsDataset(path=str(tmp_path), data="data").load()

    path.unlink()

    assert not served.has_any(None)


def test_nothing_was_ever_served(tmp_path: Path) -> None:
    dataset = ServedTextsDataset(path=str(tmp_path / "none"), data="data")

    assert not dataset.exists()
    assert dataset.load().days == {}


def test_it_is_only_read_here(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="servers write what they have served"):
        ServedTextsDataset(path=str(tmp_path), data="data").save([])
