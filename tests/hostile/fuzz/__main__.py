"""`python -m tests.hostile.fuzz TARGET --seconds N`, behind `make fuzz`: look for inputs that nobody has thought of.

Each target runs in a process of its own, which libFuzzer ends; new inputs and what has failed lie in `.fuzz/`.
"""

import argparse
import importlib
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.hostile.fuzz.target import Target

TARGETS = ("archive", "standardization", "parameters", "requests", "checkpoint")
FOLDER = Path(".fuzz")
INTERRUPTED = 72
"""With which libFuzzer ends behind Ctrl-C."""
FIGURES = ("number_of_executed_units", "average_exec_per_sec", "peak_rss_mb")


def main(arguments: list[str] | None = None) -> int:
    """Fuzz; 1 where something unexplained has happened."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("target", choices=(*TARGETS, "all"))
    parser.add_argument("--seconds", type=int, default=3600, help="for each target (an hour)")
    parser.add_argument("--input", type=Path, help="try this one input, and do nothing else")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen, further = parser.parse_known_args(arguments)
    names = TARGETS if chosen.target == "all" else (chosen.target,)
    if chosen.input:
        load(names[0]).prepare()(chosen.input.read_bytes())
        print("Nothing unexplained")
        return 0
    if chosen.inside:
        fuzz(names[0], further)
    try:
        codes = [run(name, chosen.seconds) for name in names]  # none is left out because another has failed
    except KeyboardInterrupt:
        print(
            "Interrupted; what was found so far lies in .fuzz/, and the same command goes on from it",
            file=sys.stderr,
        )
        return 130
    return int(any(codes))


def load(name: str) -> Target:
    """Return a target."""
    target: Target = importlib.import_module(f"tests.hostile.fuzz.{name}").TARGET
    return target


def run(name: str, seconds: int) -> int:
    """Fuzz a target in a process of its own, and say what has come of it."""
    target = load(name)
    inputs, failures = FOLDER / name, FOLDER / "failures"
    for folder in (inputs, failures):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.make_seeds()):
        (inputs / f"seed-{number:03d}").write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "timeout": target.max_seconds,
        "rss_limit_mb": target.max_megabytes,
        "max_len": target.max_input_size,
        "artifact_prefix": f"{failures}/{name}-",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    log = FOLDER / f"{name}.log"
    command = [sys.executable, "-m", "tests.hostile.fuzz", name, "--inside"]
    command += [f"-{option}={value}" for option, value in options.items()]
    started = time.monotonic()
    with log.open("wb") as file:
        ended = subprocess.run([*command, str(inputs)], stdout=file, stderr=subprocess.STDOUT, check=False)
    print(describe(name, log.read_text(encoding="utf-8", errors="replace"), time.monotonic() - started))
    if ended.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if ended.returncode:
        tell_failure(name, log)
    return ended.returncode


def describe(name: str, log: str, seconds: float) -> str:
    """Return the figures of a run in a line."""
    found = {key: re.findall(rf"stat::{key}:\s*(\d+)", log) for key in FIGURES}
    executions, speed, peak = (int(values[-1]) if values else 0 for values in found.values())
    coverage = [int(value) for value in re.findall(r"\bcov: (\d+)", log)]
    return (
        f"{name}: {executions:,} executions in {seconds:,.0f} s, {speed:,} a second, coverage "
        f"{coverage[-1] if coverage else 0:,} (at first {coverage[0] if coverage else 0:,}), peak memory {peak:,} MB"
    )


def tell_failure(name: str, log: Path) -> None:
    """Say what has failed, and how to see it again."""
    text = log.read_text(encoding="utf-8", errors="replace")
    artifacts = re.findall(r"Test unit written to (\S+)", text)
    print(f"{name}: something unexplained; all of it is in {log}", file=sys.stderr)
    print("\n".join(text.splitlines()[-40:]), file=sys.stderr)
    for artifact in artifacts:
        print(f"Again: python -m tests.hostile.fuzz {name} --input {artifact}", file=sys.stderr)


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz in this process, which libFuzzer ends."""
    import atheris

    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["minigpt_pipeline"], enable_loader_override=False):
        target = load(name)
        take = target.prepare()
    atheris.Setup([sys.argv[0], *options], take)
    atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
