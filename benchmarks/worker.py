"""What does the work of a variant, in a process of its own; `benchmarks.worker_main` is what runs there."""

import re
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PEAK_MEMORY = re.compile(r"VmHWM:\s+(\d+) kB")


class MissingError(RuntimeError):
    """What a variant needs is not on this machine; the message says what, in words for the table."""


class Worker(ABC):
    """Measures a variant. The constructor makes everything ready and warms it up; its arguments are the settings.

    Raises:
        MissingError: From the constructor, if the variant can't be measured on this machine.
    """

    info: dict[str, Any]
    """What the result says of the variant beside its settings."""

    report: Callable[[str], None] = staticmethod(print)
    """Shows a line of progress, of work that takes minutes."""

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Do one slice of work.

        Returns:
            Values by name; the first one is shown while the benchmark runs.
        """


def repeat(work: Callable[[], object], seconds: float) -> float:
    """Do something again and again, once at least.

    Args:
        work: What to do; it returns when it is done.
        seconds: How long, at least.

    Returns:
        Mean seconds of one time.
    """
    started, times = time.perf_counter(), 0
    while True:
        work()
        times += 1
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return elapsed / times


def peak_memory_bytes() -> int:
    """Return the largest resident memory that this process has had.

    `ru_maxrss` begins with that of the process that started this one; where the kernel tells its own, that is taken.
    """
    status = Path("/proc/self/status")
    match = _PEAK_MEMORY.search(status.read_text()) if status.exists() else None
    if match:
        return 1024 * int(match[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
