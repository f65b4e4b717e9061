"""`make train-workers`: several workers on one machine, to try `strategy: multi_worker` out.

Each is a `kedro run` of its own, with a free port and its part of the processor.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from minigpt_pipeline.model.cluster import VARIABLE

PAUSE = 0.2
GRACE = 60.0
"""Seconds in which the workers notice that one has ended badly, and say so; then they are ended."""
LAST_LINES = 5


def start(
    commands: Sequence[Sequence[str]],
    outputs: Sequence[IO[str] | None],
    folders: Sequence[Path] | None = None,
) -> list[subprocess.Popen[str]]:
    """Start the workers.

    Args:
        commands: Of each worker, the chief's first.
        outputs: Where each says what it says; null means where this process does.
        folders: Where each works; null means where this process does.
    """
    addresses = [f"127.0.0.1:{port}" for port in find_free_ports(len(commands))]
    threads = str(max(1, (os.cpu_count() or 1) // len(commands)))
    workers = []
    for index, (command, output) in enumerate(zip(commands, outputs, strict=True)):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        environment = {**os.environ, VARIABLE: json.dumps(cluster), "TF_NUM_INTRAOP_THREADS": threads}
        folder = folders[index] if folders else None
        workers.append(
            subprocess.Popen([*command], env=environment, cwd=folder, stdout=output, stderr=output, text=True)
        )
    return workers


def find_free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def wait(workers: Sequence[subprocess.Popen[str]]) -> list[int]:
    """Wait until all have ended, and end those that go on long after one has ended badly.

    Returns:
        The exit code of each.
    """
    deadline = None
    while any(worker.poll() is None for worker in workers):
        if deadline is None and any(worker.poll() for worker in workers):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            end(workers)
        time.sleep(PAUSE)
    return [worker.wait() for worker in workers]


def end(workers: Sequence[subprocess.Popen[str]]) -> None:
    """End all workers."""
    for worker in workers:
        worker.terminate()


def main(arguments: Sequence[str] | None = None) -> int:
    """Start them, let the chief speak, and return the worst exit code."""
    parser = argparse.ArgumentParser(prog="python -m minigpt_pipeline.local_workers", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="how many")
    parser.add_argument("--env", default="sample", help="folder of conf/")
    parser.add_argument("--params", default="", help="as of `kedro run`")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error(f"--workers {options.workers}: at least 1 is needed")
    params = ",".join(["strategy=multi_worker", *([options.params] if options.params else [])])
    run = [
        sys.executable,
        "-m",
        "kedro",
        "run",
        "--pipelines",
        "training",
        "--env",
        options.env,
        "--params",
        params,
    ]
    # Ctrl-C reaches the workers by itself, and all stop behind the same step. To ignore it they would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    with ExitStack() as stack:
        others = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(options.workers - 1)]
        workers = start([run] * options.workers, [None, *others])
        signal.signal(signal.SIGTERM, lambda *_: end(workers))
        codes = wait(workers)
        for index, (code, said) in enumerate(zip(codes[1:], others, strict=True), start=1):
            if code:
                said.seek(0)
                for line in said.read().splitlines()[-LAST_LINES:]:
                    print(f"worker {index}: {line}", file=sys.stderr)  # noqa: T201
    return next((code if code > 0 else 128 - code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
