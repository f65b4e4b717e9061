import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.__main__ import COMPARISONS, QUICK, USUAL, parse
from benchmarks.harness import PROJECT


def test_help_names_every_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])

    shown = capsys.readouterr().out
    assert [name for name in COMPARISONS if f"  {name} " not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed"], "no comparison named speed: choose from training"),
        (["--rounds", "0"], "at least one round"),
    ],
)
def test_what_can_not_be_measured_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)

    assert message in capsys.readouterr().err


def test_what_takes_hours_runs_only_by_name() -> None:
    assert not {"time_to_perplexity", "perplexity_scaling", "load"} & {*USUAL, *QUICK}


def start(output: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments, "--output", str(output)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_a_quick_run_leaves_a_result_and_a_table(tmp_path: Path) -> None:
    process = start(tmp_path, "startup", "--quick", "--rounds", "1")

    table, progress = process.communicate()

    assert process.returncode == 0, progress
    result = json.loads((tmp_path / "startup.json").read_text())
    imports, run = result["variants"]
    assert run["ratios"]["seconds"] == run["samples"]["seconds"][0] / imports["samples"]["seconds"][0]
    assert (tmp_path / "startup.md").read_text().startswith("# Start-up, whole processes")
    assert "kedro run --pipeline ingestion" in table
    assert sorted(file.name for file in tmp_path.iterdir()) == ["startup.json", "startup.md"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_processes_and_writes_nothing(
    tmp_path: Path, kind: signal.Signals
) -> None:
    process = start(tmp_path, "startup", "--quick")
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while len(children) < 2 and time.monotonic() < deadline:  # the worker and the command that it runs
        children = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.1)

    process.send_signal(kind)
    _, progress = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Interrupted" in progress
    _, alive = psutil.wait_procs(children, timeout=10)
    assert (len(children), alive, list(tmp_path.iterdir())) == (2, [], [])
