"""What tells a process from every other, whatever the clock says."""

import os
import subprocess
import sys

import psutil
import pytest

from minigpt_pipeline.processes import describe_process, has_ended

ELSEWHERE = "elsewhere:1:0.00"


def test_this_process_has_not_ended() -> None:
    assert describe_process() == describe_process(os.getpid())
    assert not has_ended(describe_process())


def test_a_process_has_ended_also_before_its_parent_has_looked() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        described = describe_process(process.pid)
        assert not has_ended(described)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(described)
    assert has_ended(described)


@pytest.mark.parametrize("hours", [-1, 1, 24 * 365])
def test_a_clock_that_is_set_ends_no_process(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    described, boot_time = describe_process(), psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot_time + 3600 * hours)

    assert psutil.Process().create_time() > boot_time + 3600 * hours
    assert not has_ended(described)
    assert describe_process() == described


@pytest.mark.parametrize("described", [ELSEWHERE, "by hand", "", ":", "::"])
def test_of_what_is_not_of_this_machine_nothing_is_known(described: str) -> None:
    assert not has_ended(described)
