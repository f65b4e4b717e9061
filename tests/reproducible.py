"""Do two clones of this commit make the same? `python -m tests.reproducible` clones, runs and compares.

The second clone lies deeper, in a folder with a space in its name, and differs in all that should have no part in what
comes of a run: umask, time zone, locale, order of sets, home. With `--second-cores 1` it has one core, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).parents[1]

ENDINGS_OF_A_RUN = (".lineage.json", "training_speed.parquet")
"""Of files that hold the run's id, its cycle, or how long something took."""


@dataclass(frozen=True)
class Surroundings:
    """What a clone has around it.

    Args:
        folder: Where it lies, below a temporary one.
        umask: Of its files.
        variables: Of its environment, beside those of this process.
        cores: How many of the processor's it may use; null for all.
    """

    folder: str
    umask: int
    variables: dict[str, str] = field(default_factory=dict)
    cores: int | None = None


FIRST = Surroundings("a", 0o022, {"TZ": "UTC", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"})
SECOND = Surroundings(
    "deeper/in a folder/with/a long name/minigpt",
    0o077,
    {"TZ": "Asia/Kathmandu", "LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "12345"},
)


def run_clone(
    surroundings: Surroundings, root: Path, environment: str, parameters: str = ""
) -> dict[str, bytes]:
    """Clone the project, let it run, and return what it has made.

    Args:
        surroundings: Of the clone.
        root: Where its folder is made.
        environment: Of `kedro run`.
        parameters: Behind `--params`.

    Returns:
        The content of each file that should be the same in every clone, by its path.
    """
    clone, home = root / surroundings.folder, root / f"home of {surroundings.folder.replace('/', ' ')}"
    home.mkdir(parents=True)
    before = os.umask(surroundings.umask)
    try:
        subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MINIGPT_", "MLFLOW_", "KEDRO_"))
        }
        variables = kept | surroundings.variables | {"HOME": str(home), "PYTHONPATH": str(clone / "src")}
        command = [sys.executable, "-m", "kedro", "run", "--env", environment]
        if parameters:
            command += ["--params", parameters]
        if surroundings.cores:
            command = ["taskset", "--cpu-list", f"0-{surroundings.cores - 1}", *command]
        subprocess.run(command, cwd=clone, env=variables, check=True, capture_output=True)
    finally:
        os.umask(before)
    data = clone / "data" / ("" if environment == "base" else environment)
    files = [path for path in sorted(data.rglob("*")) if path.is_file() and "01_raw" not in path.parts]
    return {
        path.relative_to(clone).as_posix(): path.read_bytes()
        for path in files
        if not path.name.endswith(ENDINGS_OF_A_RUN)
    }


def find_differences(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    """Return the files that are not the same in both."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def main() -> int:
    """Run two clones, and say what differs; 1 if anything does."""
    parser = argparse.ArgumentParser(prog="python -m tests.reproducible", description=__doc__)
    parser.add_argument("--env", default="test", help="of `kedro run` (test)")
    parser.add_argument("--params", default="", help="of `kedro run`")
    parser.add_argument("--second-cores", type=int, help="how many cores the second clone may use (all)")
    chosen = parser.parse_args()
    second = Surroundings(SECOND.folder, SECOND.umask, SECOND.variables, chosen.second_cores)
    with tempfile.TemporaryDirectory() as folder:
        made = [run_clone(each, Path(folder), chosen.env, chosen.params) for each in (FIRST, second)]
    different = find_differences(*made)
    sys.stdout.write("".join(f"differs: {name}\n" for name in different))
    sys.stdout.write(f"{len(made[0]) - len(different)} of {len(made[0])} files are the same, bit for bit\n")
    return int(bool(different) or not made[0])


if __name__ == "__main__":
    sys.exit(main())
