"""The process of a variant, `python -m benchmarks.worker_main module:Class`, started by `benchmarks.harness`.

The first line on standard input holds the settings of the class, as JSON; each further line asks for one slice. The
answers are lines of JSON on standard output: `{"ready": ...}` or `{"missing": ...}`, then `{"measured": ...,
"peak_memory_bytes": ...}` for each slice, and `{"progress": ...}` in between. Whatever a library prints goes to
standard error.
"""

import importlib
import json
import os
import sys
from typing import Any

from benchmarks.worker import MissingError, Worker, peak_memory_bytes


def main(worker: str) -> None:
    """Answer until standard input ends, also because whoever asks has been killed."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    settings = json.loads(sys.stdin.readline())
    module, name = worker.split(":")
    Worker.report = staticmethod(lambda message: answer(progress=message))
    try:
        work: Worker = getattr(importlib.import_module(module), name)(**settings)
    except MissingError as error:
        answer(missing=str(error))
        return
    answer(ready=work.info)
    for _ in sys.stdin:
        measured = work.measure()
        answer(measured=measured, peak_memory_bytes=peak_memory_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
