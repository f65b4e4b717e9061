"""Workers that do next to nothing, for the harness to run."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.worker import MissingError, Worker

MEGABYTE = 1 << 20


class Diary(Worker):
    """Writes its name into a file that all share, and what it was told to measure."""

    def __init__(self, name: str, file: str, value: float = 1.0) -> None:
        sys.stdout.write("a library's chatter")
        self.name, self.file, self.value = name, Path(file), value
        self.info = {"process": os.getpid()}

    def measure(self) -> dict[str, float]:
        with self.file.open("a") as file:
            file.write(self.name)
        self.report("writing")
        return {"value": self.value, "process": os.getpid()}


class Absent(Worker):
    def __init__(self) -> None:
        raise MissingError("it is not installed")

    def measure(self) -> dict[str, float]:
        raise NotImplementedError


class Failing(Worker):
    def __init__(self) -> None:
        self.info = {}

    def measure(self) -> dict[str, float]:
        raise ValueError("no luck today")


class Hungry(Worker):
    """Takes memory and gives it back."""

    def __init__(self, megabytes: int) -> None:
        self.info = {}
        self.megabytes = megabytes

    def measure(self) -> dict[str, float]:
        return {"bytes": float(len(bytearray(b"x") * (self.megabytes * MEGABYTE)))}


class Parent(Worker):
    """Starts a process that would outlive it."""

    def __init__(self) -> None:
        self.info = {}
        self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    def measure(self) -> dict[str, float]:
        return {"process": os.getpid(), "child": self.child.pid}
