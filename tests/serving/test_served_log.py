import errno
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minigpt_pipeline.serving import served_log
from minigpt_pipeline.serving.served_log import ServedLog
from minigpt_pipeline.text.served_text import read_line, write_line
from tests.served import AT, make_refusals, make_text

DAY = f"{AT[:10]}.jsonl"

Lost = list[None]


@pytest.fixture
def lost() -> Lost:
    return []


@pytest.fixture
def make_log(tmp_path: Path, lost: Lost) -> Callable[..., ServedLog]:
    def make(folder: Path = tmp_path, keep_days: int | None = None, log_texts: bool = False) -> ServedLog:
        return ServedLog(folder, keep_days, log_texts, lambda: lost.append(None))

    return make


MakeLog = Callable[..., ServedLog]


def read(path: Path) -> list[Any]:
    return [read_line(line) for line in path.read_bytes().splitlines()]


def test_each_record_is_a_line_in_the_file_of_its_day(make_log: MakeLog, tmp_path: Path, lost: Lost) -> None:
    log = make_log(tmp_path / "deep" / "served")
    texts = [make_text(), make_text(index=1), make_text(at="2026-11-27T00:00:00.000+00:00")]
    for text in texts:
        log.put(text)
    log.close()
    log.close()

    assert read(tmp_path / "deep/served" / DAY) == texts[:2]
    assert read(tmp_path / "deep/served/2026-11-27.jsonl") == texts[2:]
    assert lost == []


def test_threads_and_servers_may_write_at_the_same_time(make_log: MakeLog, tmp_path: Path) -> None:
    logs = [make_log(), make_log()]

    def write(log: ServedLog, number: int) -> None:
        for index in range(200):
            log.put(make_text(request_id=str(number), index=index))

    threads = [threading.Thread(target=write, args=(logs[number % 2], number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()

    found = [(text.request_id, text.index) for text in read(tmp_path / DAY)]
    assert sorted(found) == sorted((str(number), index) for number in range(8) for index in range(200))


def test_words_are_left_out_unless_they_are_asked_for(make_log: MakeLog, tmp_path: Path) -> None:
    for folder, log_texts in (("without", False), ("with", True)):
        log = make_log(tmp_path / folder, log_texts=log_texts)
        log.put(make_text(prompt="canary", text="canary sings"))
        log.close()

    assert b"canary" not in (tmp_path / "without" / DAY).read_bytes()
    assert read(tmp_path / "with" / DAY)[0].text == "canary sings"


def test_a_flood_of_refusals_is_a_line_for_each_reason(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log()
    for _ in range(500):
        log.put(make_refusals())
    log.put(make_refusals(status=422, code="invalid_request"))
    log.close()

    lines = read(tmp_path / next(tmp_path.iterdir()).name)
    assert [(line.status, line.count) for line in lines] == [(429, 500), (422, 1)]


def test_refusals_are_written_though_nothing_else_happens(
    make_log: MakeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_log, "REFUSALS_EVERY", 0.01)
    log = make_log()
    log.put(make_refusals())

    deadline = time.monotonic() + 20
    while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert any(tmp_path.iterdir())
    log.close()


def test_files_that_are_older_than_the_days_to_keep_are_removed(make_log: MakeLog, tmp_path: Path) -> None:
    names = ("2026-11-23.jsonl", "2026-11-24.jsonl", "2026-11-25.jsonl", "2026-11-23.txt", "notes.jsonl")
    for name in names:
        (tmp_path / name).touch()

    log = make_log(keep_days=3)
    log.put(make_text())
    log.close()

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {DAY, *names} - {"2026-11-23.jsonl"}


def test_behind_a_line_that_a_kill_has_cut_a_new_one_begins(make_log: MakeLog, tmp_path: Path) -> None:
    (tmp_path / DAY).write_bytes(write_line(make_text()) + write_line(make_text())[:40])

    log = make_log()
    log.put(make_text(index=7))
    log.close()

    lines = (tmp_path / DAY).read_bytes().splitlines()
    assert len(lines) == 3
    assert read_line(lines[2]).index == 7


def test_a_killed_process_leaves_one_cut_line_at_most(tmp_path: Path) -> None:
    code = f"""
import os, signal, threading
from pathlib import Path
from minigpt_pipeline.serving.served_log import ServedLog
from tests.served import make_text
log = ServedLog(Path({str(tmp_path)!r}), None, False, print)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
number = 0
while True:
    log.put(make_text(index=number))
    number += 1
"""
    project = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, check=False)

    *whole, last = (tmp_path / DAY).read_bytes().split(b"\n")
    assert killed.returncode == -9, killed.stderr
    assert whole
    assert [read_line(line).index for line in whole] == list(range(len(whole)))
    assert len(last) < len(write_line(make_text(index=10**6)))


def test_a_file_that_somebody_has_removed_is_made_again(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log()
    log.put(make_text())
    deadline = time.monotonic() + 20
    while not (tmp_path / DAY).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / DAY).unlink()
    log.put(make_text(index=1))
    log.close()

    assert read(tmp_path / DAY) == [make_text(index=1)]


class FullDisk:
    """A file that takes a part of the first line, then nothing, then all."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("ab", buffering=0)
        self.calls = 0

    def write(self, line: bytes) -> int:
        self.calls += 1
        if self.calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(line[:50] if self.calls == 1 else line)

    def close(self) -> None:
        self.file.close()


def test_a_full_disk_costs_its_lines_and_is_told_once(
    make_log: MakeLog,
    tmp_path: Path,
    lost: Lost,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = FullDisk(tmp_path / DAY)
    monkeypatch.setattr(ServedLog, "_open", lambda self, day: disk)
    log = make_log()
    for index in range(4):
        log.put(make_text(index=index))
    log.close()

    lines = (tmp_path / DAY).read_bytes().splitlines()
    assert len(lost) == 2
    assert [read_line(line).index for line in lines[1:]] == [2, 3]
    (message,) = caplog.messages
    assert "answers go out all the same" in message


def test_a_folder_that_cannot_be_made_costs_lines_and_nothing_else(
    make_log: MakeLog, tmp_path: Path, lost: Lost, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    log = make_log(tmp_path / "file" / "served")
    log.put(make_text())
    log.put(replace(make_text(), at="nonsense"))
    log.close()

    assert len(lost) == 2
    assert len(caplog.messages) == 1


def test_a_disk_that_does_not_answer_stops_nobody(
    make_log: MakeLog, lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(served_log, "MAX_WAITING", 3)
    monkeypatch.setattr(served_log, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(ServedLog, "_write", lambda self, record: goes_on.wait(20))
    log = make_log()

    for _ in range(10):
        log.put(make_text())
    log.close()

    assert len(lost) in {6, 7}  # three wait, and one may be with the disk
    goes_on.set()
    monkeypatch.setattr(served_log, "CLOSE_SECONDS", 20)
    log.close()
    assert not log._thread.is_alive()  # else it would go on in the next test


def test_a_line_is_one_write(make_log: MakeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(tmp_path / DAY)
    disk.calls = 2
    monkeypatch.setattr(ServedLog, "_open", lambda self, day: disk)
    log = make_log()
    for _ in range(5):
        log.put(make_text())
    log.close()

    assert disk.calls == 2 + 5
    assert all(json.loads(line) for line in (tmp_path / DAY).read_bytes().splitlines())
