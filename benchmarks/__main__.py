"""`python -m benchmarks`: measure, write results, print tables."""

import argparse
import importlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from benchmarks.harness import PROJECT, BenchmarkError, measure
from benchmarks.machine import describe_commit
from benchmarks.options import Options
from benchmarks.results import Plan, make_result, publish

COMPARISONS = {
    "training": "words a second and memory: plain Keras, nanoGPT (if PyTorch is there), ours, the machine's limit",
    "generation": "seconds a token: one predict a token against ours, one text and 64 side by side",
    "serving": "tokens a second of streams over HTTP, and the first token, against the same texts written at once",
    "load": "a server under load for an hour: 1 to 64 clients, an overload, and what is behind it (only by name)",
    "data": "archive to token ids: seconds by stage, memory at one and two times the reviews",
    "startup": "kedro run of one pipeline against the import of Kedro and MLflow",
    "scaling": "ours by vocabulary, width, context and batch, with a plot (a quarter of an hour)",
    "perplexity_scaling": "perplexity by minutes, words and parameters, with a plot (hours, bit by bit; only by name)",
    "time_to_perplexity": "training until the reference's best perplexity (hours; only by name)",
}
WIDTH_OF_A_FILE = 140  # characters
USUAL = ("training", "generation", "serving", "data", "startup", "scaling")
QUICK = ("training", "generation", "data", "startup")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    width = max(map(len, COMPARISONS))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the project against others, interleaved, each in a process of its own.",
        epilog="comparisons:\n"
        + "\n".join(f"  {name:{width}}  {what}" for name, what in COMPARISONS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to measure (default: {', '.join(USUAL)}; with --quick without scaling)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="minutes: few rounds, small slices; shows the order of things only",
    )
    parser.add_argument(
        "--rounds", type=int, help="slices of each variant (default: what the comparison needs)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help="of training that perplexity_scaling may add (default: all that is missing); of a phase of load (10)",
    )
    parser.add_argument(
        "--project",
        type=Path,
        help="whose champion `load` serves, as `make serve` does there (default: a model with fresh weights)",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="default: %(default)s"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=PROJECT / "data",
        help="folder with token ids of the real reviews, as `kedro run --pipelines data --env base` leaves it "
        "(default: data; without them they are made from MINIGPT_IMDB_ARCHIVE, or words are drawn)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for NAME.json and NAME.md (default: benchmarks/results; with --quick its subfolder quick)",
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in COMPARISONS]:
        parser.error(f"no comparison named {', '.join(unknown)}: choose from {', '.join(COMPARISONS)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least one round is needed")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; return the exit status."""
    asked = parse(arguments)
    console = Console(stderr=True)
    results = PROJECT / "benchmarks/results"
    output = asked.output or (results / "quick" if asked.quick else results)
    keeps_images = output == results
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        for name in asked.names or (QUICK if asked.quick else USUAL):
            with tempfile.TemporaryDirectory() as folder:
                options = Options(
                    is_quick=asked.quick,
                    rounds=asked.rounds,
                    device=asked.device,
                    data=asked.data.resolve(),
                    output=output,
                    images=PROJECT / "docs/images" if keeps_images else output,
                    folder=Path(folder),
                    report=_Progress(name, console),
                    minutes=asked.minutes,
                    project=asked.project.resolve() if asked.project else None,
                )
                run(name, options)
    except KeyboardInterrupt:
        console.print("Interrupted; what was finished before is written.")
        return 128 + signal.SIGINT
    except BenchmarkError as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


class _Progress:
    """Prints lines with the time since the start."""

    def __init__(self, name: str, console: Console) -> None:
        self.name = name
        self.console = console
        self.started = time.monotonic()

    def __call__(self, message: str) -> None:
        seconds = round(time.monotonic() - self.started)
        line = f"{seconds // 60:3d}:{seconds % 60:02d}  {self.name}  {message}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def run(name: str, options: Options) -> None:
    """Measure one comparison and publish its result."""
    options.report(COMPARISONS[name])
    plan: Plan = importlib.import_module(f"benchmarks.comparisons.{name}").plan(options)
    options.report(f"{len(plan.variants)} variants, {plan.rounds} rounds")
    commit = describe_commit()  # somebody may go on working meanwhile
    measurements = measure(plan.variants, plan.rounds, options.report, fresh_processes=plan.fresh_processes)
    result = make_result(plan, measurements, commit, options.is_quick)
    # A file or a pipe has no width; tables are not squeezed into the 80 columns that are assumed of it.
    width = None if sys.stdout.isatty() else WIDTH_OF_A_FILE
    publish(result, plan.columns, options.output, Console(width=width))


if __name__ == "__main__":
    sys.exit(main())
