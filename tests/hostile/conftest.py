"""What hostile input is held against: time, and the memory of a process of its own."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

REPORT = """
import json, resource, time
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def report(**found):
    print(json.dumps(found))
"""


@pytest.fixture
def run_apart() -> Callable[..., dict[str, float]]:
    """Run some lines in a process of its own, which may call `peak()` (MB) and must end with `report(name=value)`."""

    def run(lines: str, *arguments: str, seconds: float = 120.0) -> dict[str, float]:
        ended = subprocess.run(
            [sys.executable, "-c", REPORT + textwrap.dedent(lines), *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
        return found

    return run
