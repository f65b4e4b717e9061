"""Everything runs once under the eyes of Python's audit hooks: nothing that was read from a file is unpickled."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

WATCHER = Path(__file__).parent / "watcher"
PATIENCE = 600
"""Seconds for a command."""


@pytest.fixture(scope="module")
def project(make_project: Callable[[str], Path]) -> Path:
    return make_project("watched")


def list_variables(record: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    path = os.pathsep.join([str(WATCHER), *filter(None, sys.path)])
    return kept | {"PYTHONPATH": path, "MINIGPT_TEST_RECORD": str(record)}


def serve_until_ready(project: Path, record: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "minigpt_pipeline.serving", "--port", "0"],
        cwd=project, env=list_variables(record), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    address = re.search(r"http://\S+", process.stderr.readline())
    assert address
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{address[0]}/ready", timeout=10):
                break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    process.stderr.close()


def test_the_watcher_sees_a_pickle_and_no_import(tmp_path: Path) -> None:
    code = "import json, decimal, pickle; pickle.loads(pickle.dumps(decimal.Decimal(1)))"
    subprocess.run([sys.executable, "-c", code], env=list_variables(tmp_path / "record"), check=True)

    (seen,) = (tmp_path / "record").read_text().splitlines()
    assert seen.startswith("pickle.find_class decimal.Decimal")


@pytest.mark.timeout(1800)
def test_no_pipeline_and_no_server_unpickles_anything(project: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    for arguments in (
        [],
        ["--pipelines", "promotion"],
        ["--pipelines", "retraining"],
        ["--pipelines", "sweep"],
    ):
        command = [sys.executable, "-m", "kedro", "run", "--env", "test", *arguments]
        subprocess.run(command, cwd=project, env=list_variables(record), check=True, timeout=PATIENCE)
    serve_until_ready(project, record)

    seen = record.read_text().splitlines() if record.exists() else []
    assert seen == []
