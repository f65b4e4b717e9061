"""`python -m benchmarks.soak`: many retraining cycles in a copy of the project, and what each leaves behind.

Each cycle is a `kedro run --pipelines retraining --env test` in a process of its own, forked from this one, which has
loaded every package and used none: that spares the seconds of loading them. Eight of ten cycles find a few new reviews,
one finds a batch that is refused, one finds nothing. What was measured lies beside the copy, a line a cycle; the same
command goes on behind the last of them. `python -m benchmarks.soak_report` makes a table and a plot of it.
"""

import argparse
import atexit
import json
import os
import resource
import signal
import sqlite3
import sys
import tarfile
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.harness import BenchmarkError
from benchmarks.machine import describe_commit, describe_machine, describe_versions
from benchmarks.project import copy_project
from benchmarks.results import write_json
from minigpt_pipeline.text.synthetic_reviews import make_members, write_archive

PARAMETERS = (
    "validation.min_reviews=100",
    "vectorization.min_words=1000",
    "training.max_steps=2",
    "training.evaluate_every_steps=2",
    "evaluation.batch_size=1024",
    "promotion.batch_size=1024",
    "promotion.num_texts=2",
    "generation.quality_texts=2",
    "generation.seeds=[0]",
    "generation.sampling.max_new_tokens=5",
)
"""What makes a cycle cheap and leaves as much behind as any: as many files, rows and versions."""
NEWS = ("new",) * 7 + ("poisoned", "new", "nothing")
"""What lies in the folder of new data, by the last digit of a cycle's number."""
FIRST_REVIEWS, REVIEWS = 400, 2
"""Of the archive and of a batch: data grow by it for ever, as they should, and with them the time of a cycle."""
TRIED_OUT_EVERY = 10
"""Cycles, in one of which a fresh process tries the candidate out: that leaves nothing behind, and takes long."""
RETENTION = """\
runs: {keep: 40, days: 0}
models: {keep: 10, days: 0}
champions: 5
quarantine: {keep: 10, days: 0}
"""
"""For conf/local: a bound that a hundred cycles reach, instead of one for years."""
MEASUREMENTS, SETTINGS = "cycles.jsonl", "settings.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cycles that are missing; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--cycles", type=int, default=500, help="in all (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, required=True, help="of the copy of the project and what is measured"
    )
    parser.add_argument("--keep-all", action="store_true", help="remove nothing, to see what that comes to")
    asked = parser.parse_args(arguments)
    folder = asked.folder.resolve()
    project = folder / "project"
    parameters = ",".join(PARAMETERS)
    if not project.exists():
        copy_project(project)
        write_archive(project / "data/01_raw/sample_reviews.tar.gz", FIRST_REVIEWS)
        facts = {"machine": describe_machine(), "versions": describe_versions(), "commit": describe_commit()}
        retention = (
            "runs: {keep: null, days: 0}\nmodels: {keep: null, days: 0}\n" if asked.keep_all else RETENTION
        )
        (project / "conf/local/retention.yml").write_text(retention)
        write_json(folder / SETTINGS, facts | {"parameters": parameters, "retention": retention})
    load_packages()
    measurements = folder / MEASUREMENTS
    done = len(measurements.read_text().splitlines()) if measurements.exists() else 0
    for number in range(done + 1, asked.cycles + 1):
        measured = run_cycle(project, number, parameters, folder / "log")
        with measurements.open("a") as file:
            file.write(json.dumps(measured) + "\n")
        print(json.dumps(measured), flush=True)
    return 0


def load_packages() -> None:
    """Load what a cycle loads; a process that has used TensorFlow could not be forked."""
    import great_expectations
    import keras
    import matplotlib.figure
    import mlflow.pyfunc
    import tensorflow as tf

    import minigpt_pipeline.cli
    import minigpt_pipeline.tracking.session

    _ = great_expectations, keras, matplotlib.figure, mlflow.pyfunc, tf, minigpt_pipeline


def run_cycle(project: Path, number: int, parameters: str, log: Path) -> dict[str, Any]:
    """Drop what is new, run a cycle, and measure it and what it has left.

    Args:
        project: The copy.
        number: Of the cycle, from 1 on; it is the seed of what is new.
        parameters: As of `kedro run`.
        log: What the process says; the last cycle's stays.

    Returns:
        `cycle`, `news`, `seconds` of the process and `processor_seconds`, `peak_memory_bytes`, `open_files` at its end,
        and what `measure_store` returns.

    Raises:
        BenchmarkError: If it does not end well.
    """
    news = NEWS[(number - 1) % len(NEWS)]
    drop(project / "data/01_raw/incoming", news, number)
    reader, writer = os.pipe()
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        os.close(reader)
        _work(project, parameters, log, writer, tries_out=number % TRIED_OUT_EVERY == 1)
    os.close(writer)
    with os.fdopen(reader) as answers:
        answer = answers.read()
    _, status, usage = os.wait4(process, 0)
    seconds = time.monotonic() - started
    if os.waitstatus_to_exitcode(status):
        raise BenchmarkError(f"Cycle {number} has failed:\n{log.read_text()[-3000:]}")
    return {
        "cycle": number,
        "news": news,
        "seconds": round(seconds, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        **json.loads(answer),
        **measure_store(project),
    }


def _work(project: Path, parameters: str, log: Path, writer: int, tries_out: bool) -> None:
    """Be the process of a cycle, to its end."""
    import tensorflow as tf
    from kedro.framework.startup import bootstrap_project

    from minigpt_pipeline.cli import run
    from minigpt_pipeline.model_versions import Trial
    from minigpt_pipeline.tracking.model_versions import MlflowModelVersion

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    status = 1
    tf.config.run_functions_eagerly(True)  # to compile them takes longer than a few steps of a tiny model
    try:
        os.chdir(project)
        bootstrap_project(project)
        if not tries_out:
            MlflowModelVersion.try_out = lambda *_: Trial(seconds_per_text=0.1, megabytes=0.3)  # type: ignore[method-assign]
        arguments = ["--pipelines", "retraining", "--env", "test", "--params", parameters]
        run.main(arguments, standalone_mode=False)
        atexit._run_exitfuncs()
        facts = {
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "open_files": len(list(Path("/proc/self/fd").iterdir())) - 2,  # the pipe, and the folder itself
        }
        os.write(writer, json.dumps(facts).encode())
        status = 0
    except BaseException:  # noqa: BLE001 -- nothing may reach what this process was forked from
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def drop(folder: Path, news: str, number: int) -> None:
    """Put a batch into the folder of new data.

    Args:
        folder: Where it is looked for.
        news: `new`: a few reviews that the grammar writes; `poisoned`: some in which there is markup; or `nothing`.
        number: Its seed.
    """
    if news == "nothing":
        return
    members = make_members(REVIEWS, seed=1_000_000 + number)
    if news == "poisoned":
        members = {name: b"<div>%d</div>" % number + text for name, text in members.items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".batch.tar.part"
    with tarfile.open(partial, "w") as archive:
        for name, text in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, BytesIO(text))
    an_hour_ago = time.time() - 3600  # what is young is waited for
    os.utime(partial, (an_hour_ago, an_hour_ago))
    partial.rename(folder / f"batch_{number}.tar")


def measure_store(project: Path) -> dict[str, int]:
    """Return sizes in bytes and numbers of what runs leave: files, rows, runs, versions, free pages."""
    folders = {name: _measure_folder(project / name) for name in ("data", "mlartifacts")}
    with sqlite3.connect(f"file:{project / 'mlflow.db'}?mode=ro", uri=True) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: store.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}  # noqa: S608 -- of its own tables # nosec B608
        (page_size,), (free_pages,) = (
            store.execute(f"PRAGMA {n}").fetchone() for n in ("page_size", "freelist_count")
        )
    store.close()
    accepted = _measure_folder(project / "data/test/01_raw/accepted")
    return {
        **{f"{name}_bytes": size for name, (size, _) in folders.items()},
        **{f"{name}_files": count for name, (_, count) in folders.items()},
        "accepted_bytes": accepted[0],
        "accepted_files": accepted[1],
        "database_bytes": (project / "mlflow.db").stat().st_size,
        "free_bytes": free_pages * page_size,
        "rows": sum(rows.values()),
        "runs": rows["runs"],
        "versions": rows["model_versions"],
        "tables": {name: count for name, count in rows.items() if count},
    }


def _measure_folder(folder: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes), len(sizes)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
