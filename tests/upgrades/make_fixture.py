"""Make again what a version of the project has written: `python -m tests.upgrades.make_fixture VERSION`.

A clone of this repository is checked out at the commit that CHANGELOG.md names for the version, and its own commands
run in it on some reviews of the embedded corpus: a whole run; a search; new data, promotion, schedules and a server
where the version has them; at last a training that is killed. What that leaves, without pictures, is packed into
`written/VERSION.tar.xz`.

The libraries are those of the Python that runs this. Where a version does not run with them, name a Python that has
those of its own lock: `--python`.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
WRITTEN = Path(__file__).parent / "written"
PLACES = Path("/srv")
"""Where versions run, each in `minigpt-VERSION`: MLflow's store knows its artifacts by their absolute place."""

HEADING = re.compile(
    r"^## \[(?P<version>[\d.]+)\] .*\n\n(?:Commit (?P<commit>[0-9a-f]{7,40})\.$)?", re.MULTILINE
)

PARAMETERS = (
    "validation.min_reviews=50,vectorization.min_words=1000,vectorization.vocabulary_size=300,"
    "vectorization.split.train=0.6,vectorization.split.validation=0.2,vectorization.split.test=0.2,"
    "model.embed_dim=8,model.feed_forward_dim=16,evaluation.known_source=null"
)
"""So that a fixture is small; who goes on with what was written needs the same."""

KILLED = f"{PARAMETERS},training.max_steps=400,training.seed=9"
"""Of the training that is killed."""

KEPT = ("data", "mlflow.db", "mlartifacts", ".dagster")
LEFT_OUT = (
    "*.png",
    "comparison.html",
    "validation_data_docs",
    "sample_reviews.tar.gz",
    "__pycache__",
    "*.lock",
    "logs",
    "compute_logs",
)
CODE = "code_of_commit.txt"
"""Lists the files of logged models that are those of the commit, and are taken from there."""

PATIENCE = 900.0
"""Seconds that a step may take on a busy machine."""

SCHEDULES = """
schedules:
  nightly: {cron: "* * * * *", pipeline: comparison, environment: test, retries: 0}
"""
MONITORING = "  monitoring: {enabled: false}\n"
"""Of versions that have it."""


def read_commits() -> dict[str, str]:
    """Return the commit of each released version, as CHANGELOG.md names it; empty where it names none."""
    text = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    return {found["version"]: found["commit"] or "" for found in HEADING.finditer(text)}


def place_of(version: str) -> Path:
    """Return where a version has run."""
    return PLACES / f"minigpt-{version}"


class Version:
    """A version at its commit, in a clone.

    Args:
        name: Of the version, `0.3.0`.
        python: The interpreter that has its libraries.
    """

    def __init__(self, name: str, python: str) -> None:
        self.place, self._python = place_of(name), python
        self._has = [int(part) for part in name.split(".")].__ge__
        commit = read_commits()[name]
        subprocess.run(["git", "clone", "--quiet", "--shared", PROJECT, self.place], check=True)
        subprocess.run(["git", "checkout", "--quiet", commit], cwd=self.place, check=True)
        variables = {
            "PYTHONPATH": str(self.place / "src"),
            "DO_NOT_TRACK": "true",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MINIGPT_", "MLFLOW_", "KEDRO_"))
        }
        self._environment = kept | variables

    def write(self) -> None:
        """Run what the version has."""
        self._write_reviews("sample_reviews.tar.gz", 120, seed=1)
        self._kedro(PARAMETERS)
        if self._has([0, 3]):
            self._kedro(PARAMETERS, "sweep")
        if self._has([0, 5]):
            self._write_reviews("incoming/more.tar.gz", 60, seed=2)
            (self.place / "data/01_raw/incoming/poor.csv").write_text("text\nshort\nshort\n")
            self._kedro(PARAMETERS, "retraining")
            self._kedro(f"{PARAMETERS},training.seed=7", "retraining")
            self._schedule()
        if self._has([0, 6]):
            self._serve()
            self._kedro(PARAMETERS, "monitoring")
        if self._has([0, 2]):
            self._kill_training()

    def pack(self, path: Path) -> None:
        """Put what was written into a fixture.

        Raises:
            ValueError: If a file names a place of this machine.
        """
        (self.place / CODE).write_text("".join(f"{line}\n" for line in self._list_code()))
        checkpoints = sorted((self.place / "data/test/06_models/checkpoints").glob("*.checkpoint"))
        for older in checkpoints[:-1]:
            older.unlink()
        for file in [
            *self.place.glob("*.db"),
            *self.place.glob(".dagster/**/*"),
            *self.place.glob("data/**/*.db"),
        ]:
            hide_places(file)
        options = ["--sort=name", "--owner=0", "--group=0", "--mtime=2026-01-01", "--exclude-from=-"]
        kept = [name for name in KEPT if (self.place / name).exists()]
        excluded = "\n".join([*LEFT_OUT, *(self.place / CODE).read_text().split()])
        path.parent.mkdir(exist_ok=True)
        packed = subprocess.run(
            ["tar", "--create", "--xz", *options, CODE, *kept],
            cwd=self.place,
            input=excluded.encode(),
            capture_output=True,
            check=True,
            env=os.environ | {"XZ_OPT": "-9e"},
        ).stdout
        path.write_bytes(packed)
        refuse_places(path)

    def _python_m(self, *arguments: str) -> list[str]:
        return [self._python, "-m", *arguments]

    def _run(self, *arguments: str) -> None:
        subprocess.run(self._python_m(*arguments), cwd=self.place, env=self._environment, check=True)

    def _kedro(self, parameters: str, pipeline: str | None = None) -> None:
        # `--pipeline` is known to all versions.
        named = ["--pipeline", pipeline] if pipeline else []
        self._run("kedro", "run", "--env", "test", *named, "--params", parameters)

    def _write_reviews(self, name: str, number: int, seed: int) -> None:
        arguments = ["--num-reviews", str(number), "--seed", str(seed)]
        self._run("minigpt_pipeline.text.synthetic_reviews", f"data/01_raw/{name}", *arguments)

    def _schedule(self) -> None:
        (self.place / "conf/local/schedules.yml").write_text(
            SCHEDULES + (MONITORING if self._has([0, 6]) else "")
        )
        with self._running("minigpt_pipeline.scheduling", "--headless"):
            wait_for(self._has_run_by_schedule, PATIENCE)

    def _has_run_by_schedule(self) -> bool:
        try:
            path = self.place / ".dagster/history/runs.db"
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
                return bool(store.execute("SELECT 1 FROM runs WHERE status = 'SUCCESS'").fetchone())
        except sqlite3.OperationalError:  # Dagster has not made it yet
            return False

    def _serve(self) -> None:
        port = find_port()
        (self.place / "conf/local/serving.yml").write_text("log: {texts: true}\n")
        with self._running("minigpt_pipeline.serving", "--port", str(port)):
            body = json.dumps({"prompt": "the best scene", "max_new_tokens": 8, "seed": 1}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/generate", body, {"Content-Type": "application/json"}
            )
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/ready"), PATIENCE)
            for _ in range(3):
                urllib.request.urlopen(request).read()

    @contextmanager
    def _running(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Let a command run, and end it as Ctrl-C does."""
        process = subprocess.Popen(self._python_m(*arguments), cwd=self.place, env=self._environment)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)

    def _kill_training(self) -> None:
        command = self._python_m(
            "kedro", "run", "--env", "test", "--pipeline", "training", "--params", KILLED
        )
        process = subprocess.Popen(command, cwd=self.place, env=self._environment)
        wait_for(lambda: any((self.place / "data/test/06_models/checkpoints").glob("*.checkpoint")), PATIENCE)
        process.kill()
        process.wait()

    def _list_code(self) -> list[str]:
        """Return the logged files that are the same at the commit."""
        logged = [path for path in (self.place / "mlartifacts").rglob("code/**/*") if path.is_file()]
        for path in logged:
            of_commit = self.place / "src" / path.as_posix().partition("/code/")[2]
            if "__pycache__" not in path.parts and path.read_bytes() != of_commit.read_bytes():
                raise ValueError(f"{path} is not what the commit has")
        return [str(path.relative_to(self.place)) for path in logged if "__pycache__" not in path.parts]


def hide_places(path: Path) -> None:
    """Take the interpreter of this machine out of a database of SQLite, or a text file."""
    hidden = str(PLACES / "python")
    if path.suffix != ".db":
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(sys.prefix.encode(), hidden.encode()))
        return
    with closing(sqlite3.connect(path)) as database, database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in [row[1] for row in database.execute(f"PRAGMA table_info('{table}')").fetchall()]:
                change = (
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE "{column}" LIKE ?'
                )
                database.execute(change, [sys.prefix, hidden, f"%{sys.prefix}%"])
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM")  # or the former value stays in the file


def refuse_places(path: Path) -> None:
    """Raise ValueError where a fixture names a place of this machine."""
    own = [str(PROJECT), sys.prefix, f"{Path.home()}/"]
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            read = content.read() if content else b""
            for place in own:
                if place.encode() in read:
                    raise ValueError(f"{member.name} in {path} names {place}")


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: If it is not within some seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it was not so within {seconds} s")
        time.sleep(0.005)


def answers(address: str) -> bool:
    """Whether a server is ready."""
    try:
        with urllib.request.urlopen(address) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def find_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    """Make the fixture of a version."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrades.make_fixture", description=__doc__)
    parser.add_argument("version", choices=sorted(read_commits()))
    parser.add_argument("--python", default=sys.executable, help="with the libraries of the version")
    chosen = parser.parse_args()
    if (place := place_of(chosen.version)).exists():
        parser.error(f"{place} is there already: move it away")
    try:
        version = Version(chosen.version, chosen.python)
        version.write()
        version.pack(WRITTEN / f"{chosen.version}.tar.xz")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
