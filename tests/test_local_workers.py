import subprocess
import sys

import pytest

from minigpt_pipeline import local_workers


def start(code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], text=True)


def test_free_ports_are_unlike() -> None:
    assert len(set(local_workers.find_free_ports(5))) == 5


def test_all_that_end_well_are_waited_for() -> None:
    assert local_workers.wait([start(""), start("import time; time.sleep(0.3)")]) == [0, 0]


def test_who_goes_on_after_one_has_ended_badly_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_workers, "GRACE", 0.3)

    codes = local_workers.wait([start("import time; time.sleep(200)"), start("raise SystemExit(3)")])

    assert codes == [-15, 3]
