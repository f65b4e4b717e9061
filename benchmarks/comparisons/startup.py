"""A whole `kedro run` that has next to nothing to do, against the import of what it runs on."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Variant
from benchmarks.options import Options
from benchmarks.project import copy_project
from benchmarks.results import Column, Plan
from benchmarks.worker import Worker

WORKER = "benchmarks.comparisons.startup:Command"
REFERENCE = 'python -c "import mlflow, kedro"'
OURS = "kedro run --pipeline ingestion --env sample"

COLUMNS = (
    Column("seconds", ("medians", "seconds"), "{:.2f}"),
    Column("ratio", ("ratios", "seconds"), "{:.2f} ×"),
)


class Command(Worker):
    """Runs a command of Python, a whole process each time; once before anything is measured.

    Args:
        arguments: After `python`.
        project: A copy of the project, made here, to run it in.
    """

    def __init__(self, arguments: Sequence[str], project: str) -> None:
        self.command = [sys.executable, *arguments]
        self.project = copy_project(Path(project))
        self.info = {}
        self.measure()

    def measure(self) -> dict[str, float]:
        """Run it and take the time."""
        started = time.perf_counter()
        result = subprocess.run(self.command, cwd=self.project, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if result.returncode:
            raise RuntimeError(f"{self.command} ended with {result.returncode}:\n{result.stderr}")
        return {"seconds": seconds}


def plan(options: Options) -> Plan:
    """Compare a run of `ingestion` with two imports."""
    commands = {
        REFERENCE: ["-c", "import mlflow, kedro"],
        OURS: ["-m", *OURS.split()],
    }
    return Plan(
        name="startup",
        title="Start-up, whole processes",
        variants=[
            Variant(
                name, WORKER, {"arguments": arguments}, {"project": str(options.folder / f"startup_{number}")}
            )
            for number, (name, arguments) in enumerate(commands.items())
        ],
        baseline=REFERENCE,
        rounds=options.choose_rounds(11, 3),
        columns=COLUMNS,
        conclude=lambda _: ["Both in a copy of the project in which they have run before."],
    )
