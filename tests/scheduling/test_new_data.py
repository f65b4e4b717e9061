import os
import time
from pathlib import Path

from minigpt_pipeline.scheduling.new_data import describe_drop


def drop(path: Path, text: str = "a film") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_nothing_is_new_where_nothing_lies(tmp_path: Path) -> None:
    later = time.time() + 60

    assert describe_drop(tmp_path / "absent", 0, later) is None
    (tmp_path / "empty").mkdir()
    drop(tmp_path / ".gitkeep")
    drop(tmp_path / ".copying/one.txt")
    assert describe_drop(tmp_path, 0, later) is None


def test_what_was_just_changed_is_left_alone(tmp_path: Path) -> None:
    path = drop(tmp_path / "batch/one.txt")
    os.utime(path, (0, 0))  # as a file has that is copied with its time
    now = time.time()

    assert describe_drop(tmp_path, 30, now) is None
    assert describe_drop(tmp_path, 30, now + 31) is not None


def test_a_digest_changes_with_what_lies_there_and_with_nothing_else(tmp_path: Path) -> None:
    later = time.time() + 60
    one = drop(tmp_path / "one.txt")
    digests = [describe_drop(tmp_path, 30, later), describe_drop(tmp_path, 30, later + 60)]
    drop(one, "another film")
    digests.append(describe_drop(tmp_path, 30, later))
    drop(tmp_path / "two.txt")
    digests.append(describe_drop(tmp_path, 30, later))
    one.unlink()
    digests.append(describe_drop(tmp_path, 30, later))

    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
