"""Interleaved measurements: every variant computes in a process of its own, one slice of work at a time, in turn.

So a change of the machine's speed in the course of a run meets all variants alike, the peak memory of each is its own,
and the settings of one (TensorFlow's, PyTorch's) never reach another. While one works the others wait for a line on
their standard input. `benchmarks.worker_main` is what runs in the processes.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, cast

PROJECT = Path(__file__).parents[1]
SHOWN_ERROR_LENGTH = 3000  # characters

Report = Callable[[str], None]
"""Shows a line of progress."""


class BenchmarkError(RuntimeError):
    """A variant could not be measured."""


@dataclass(frozen=True)
class Variant:
    """One thing to measure.

    Args:
        name: Its row in the table.
        worker: Class that does the work, `module:Class`, a `benchmarks.worker.Worker`.
        settings: Keyword arguments of the class; they are part of the result.
        paths: Further keyword arguments, which are not: paths of this machine are nobody's business.
        is_listed: Whether it has a row of its own in the table.
    """

    name: str
    worker: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    is_listed: bool = True


@dataclass
class Measurement:
    """What was measured of a variant.

    Args:
        variant: Of which.
        samples: Values by name, one of each a slice, in the order of the rounds.
        peak_memory_bytes: The largest resident memory of its process, or of the largest of its processes.
        info: What the worker says of itself, such as its device.
        missing: Why there is nothing, such as a package that is not installed; empty where there is something.
    """

    variant: Variant
    samples: dict[str, list[float]] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    info: dict[str, Any] = field(default_factory=dict)
    missing: str = ""

    def add(self, answer: Mapping[str, Any]) -> None:
        """Keep what a worker has answered."""
        for name, value in answer["measured"].items():
            self.samples.setdefault(name, []).append(value)
        self.peak_memory_bytes = max(self.peak_memory_bytes, answer["peak_memory_bytes"])


def measure(
    variants: Sequence[Variant], rounds: int, report: Report, *, fresh_processes: bool = False
) -> list[Measurement]:
    """Measure variants in turn: one slice each a round, every second round in the opposite order.

    Args:
        variants: What to measure.
        rounds: Slices of each variant.
        report: Shows progress.
        fresh_processes: Start and end the process of a variant in every round, so that only one is in memory, and
            every slice's peak memory is its own.

    Raises:
        BenchmarkError: If the process of a variant fails.
    """
    measurements = [Measurement(variant) for variant in variants]
    with ExitStack() as stack:
        processes: dict[str, WorkerProcess] = {}
        if not fresh_processes:
            for measurement in measurements:
                process = stack.enter_context(WorkerProcess(measurement.variant, report))
                processes[measurement.variant.name] = process
                _await_start(process, measurement, report)
        started = time.monotonic()
        for done in range(1, rounds + 1):
            for measurement in measurements if done % 2 else reversed(measurements):
                if measurement.missing:
                    continue
                if fresh_processes:
                    with WorkerProcess(measurement.variant, report) as process:
                        _await_start(process, measurement, report)
                        _measure_slice(process, measurement, report)
                else:
                    _measure_slice(processes[measurement.variant.name], measurement, report)
            minutes_left = (time.monotonic() - started) / done * (rounds - done) / 60
            report(f"round {done} of {rounds} done, {minutes_left:.1f} minutes left")
    return measurements


def _await_start(process: "WorkerProcess", measurement: Measurement, report: Report) -> None:
    started = time.monotonic()
    answer = process.read()
    measurement.info = answer.get("ready", {})
    measurement.missing = answer.get("missing", "")
    seconds = time.monotonic() - started
    report(f"{measurement.variant.name}: {measurement.missing or 'ready'} ({seconds:.0f} s)")


def _measure_slice(process: "WorkerProcess", measurement: Measurement, report: Report) -> None:
    if measurement.missing:
        return
    started = time.monotonic()
    answer = process.ask()
    measurement.add(answer)
    name, value = next(iter(answer["measured"].items()))
    seconds = time.monotonic() - started
    report(f"{measurement.variant.name}: {name.replace('_', ' ')} {value:,.4g} ({seconds:.0f} s)")


class WorkerProcess:
    """The process of a variant; a context manager that ends it, and whatever it has started.

    Args:
        variant: What it measures.
        report: Shows the progress that it reports.
    """

    def __init__(self, variant: Variant, report: Report) -> None:
        self._variant = variant
        self._report = report

    def __enter__(self) -> Self:
        """Start the process."""
        self._errors = tempfile.TemporaryFile("w+")
        # A session of its own: Ctrl-C reaches this process alone, which then ends the workers and their children.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker_main", self._variant.worker],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)
        self._write({**self._variant.settings, **self._variant.paths})
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it: between two slices it holds nothing that needs a goodbye."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._requests, self._answers, self._errors):
            with suppress(BrokenPipeError):
                stream.close()

    def ask(self) -> dict[str, Any]:
        """Have one slice measured.

        Returns:
            `measured` (values by name) and `peak_memory_bytes`.
        """
        self._write("measure")
        return self.read()

    def read(self) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            BenchmarkError: If the process ends instead.
        """
        for line in self._answers:
            answer: dict[str, Any] = json.loads(line)
            if "progress" not in answer:
                return answer
            self._report(f"{self._variant.name}: {answer['progress']}")
        code = self._process.wait()
        self._errors.seek(0)
        raise BenchmarkError(
            f"The process of {self._variant.name!r} ended with code {code}. The last that it wrote:\n"
            f"{self._errors.read()[-SHOWN_ERROR_LENGTH:]}"
        )

    def _write(self, request: object) -> None:
        with suppress(BrokenPipeError):  # `read` finds out why
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
