"""`python -m benchmarks.choose_sampling`: write with a trained model in many ways, and measure each beside people."""

import argparse
import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from kedro.io import DatasetError
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import project

if TYPE_CHECKING:
    from kedro.io import DataCatalog

SETTINGS: dict[str, tuple[type, list[Any]]] = {
    "temperature": (float, [0.8, 0.9, 1.0]),
    "top_k": (int, [None]),
    "top_p": (float, [None, 0.9, 0.95]),
    "min_p": (float, [None]),
    "repetition_penalty": (float, [None]),
}
"""Fields of `SamplingParameters`: their type, and the values that are tried where nobody says others."""

CONFIGURED = "as configured"


class Bounds(NamedTuple):
    """What a figure has to be, both ends included."""

    low: float
    high: float

    def hold(self, value: float) -> bool:
        """Tell whether a figure is as it has to be."""
        return self.low <= value <= self.high


class Demand(NamedTuple):
    """What is asked of a figure of `ReferenceReviews.measure`."""

    label: str
    required: Bounds
    goal: Bounds


DEMANDS = {
    "seq_rep_4_ratio": Demand("seq-rep-4 and its 95 % interval", Bounds(0.5, 1.5), Bounds(0.9, 1.1)),
    "distinct_2_ratio": Demand("distinct-2", Bounds(0.7, math.inf), Bounds(0.9, math.inf)),
    "kneser_ney_perplexity_ratio": Demand("5-gram perplexity", Bounds(0.5, 1.5), Bounds(0.8, 1.2)),
    "copied_8gram_share_ratio": Demand("copied 8-grams", Bounds(0.0, 2.0), Bounds(0.0, 1.2)),
    "unk_rate": Demand("[UNK]", Bounds(0.0, 0.0), Bounds(0.0, 0.0)),
}
"""All but the last are ratios to the figure of people's reviews."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.choose_sampling",
        description="Write texts with a trained model in every combination of settings, n-gram blocking off, and "
        "measure each beside people's reviews of equal length.",
        epilog="`*` is where a figure reaches the goal, `!` where it misses what is required.",
    )
    parser.add_argument("--env", default="base", help="whose model and data (default: %(default)s)")
    parser.add_argument("--texts", type=int, default=1000, help="of each combination (default: %(default)s)")
    parser.add_argument(
        "--reviews",
        choices=("validation", "test"),
        default="validation",
        help="whose films people's reviews are of; whoever chooses by test has no test left (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, help="a CSV file for all figures (default: none)")
    for name, (kind, values) in SETTINGS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            nargs="+",
            type=lambda text, kind=kind: None if text == "none" else kind(text),  # type: ignore[misc]
            default=values,
            metavar="VALUE",
            help=f"values to try, or none (default: {' '.join('none' if v is None else str(v) for v in values)})",
        )
    options = parser.parse_args(arguments)
    if options.texts < 2:  # noqa: PLR2004 -- a text and another
        parser.error(f"--texts {options.texts}: at least two are needed to be compared")
    return options


def list_settings(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return every combination of the values to try."""
    values = (getattr(options, name) for name in SETTINGS)
    return [dict(zip(SETTINGS, combination, strict=True)) for combination in itertools.product(*values)]


def measure(
    catalog: "DataCatalog", combinations: Sequence[Mapping[str, Any]], reviews: str, num_texts: int
) -> Iterator[dict[str, Any]]:
    """Write and measure as configured, then in each of the combinations.

    Args:
        catalog: Holds the model, the token ids and the n-gram model.
        combinations: Settings that take the place of the configured ones.
        reviews: `validation` or `test`.
        num_texts: Of each.

    Yields:
        `settings`, in words, and the figures (see `ReferenceReviews.measure`).
    """
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.generation import Writer
    from minigpt_pipeline.model.quality import write_beside
    from minigpt_pipeline.parameters import SamplingParameters
    from minigpt_pipeline.text.reference_reviews import ReferenceReviews

    configured = catalog.load("params:generation").sampling
    settings = {CONFIGURED: configured} | {
        describe(changes): SamplingParameters(**configured.model_dump() | changes) for changes in combinations
    }
    trained_model = catalog.load("trained_model")
    reference = ReferenceReviews.choose(
        catalog.load(f"{reviews}_token_ids"),
        catalog.load("train_token_ids"),
        catalog.load("ngram_model"),
        trained_model.tokenizer,
        num_texts,
    )
    configure_compute(catalog.load("compute"))
    writer = Writer(trained_model.load_model(), trained_model.has_learnt_ends)
    for name, sampling in settings.items():
        written = write_beside(reference, writer, sampling)
        yield {"settings": name, **written.figures}


def describe(settings: Mapping[str, Any]) -> str:
    """Name the settings that are on."""
    shown = [f"{name.replace('_', '-')} {value:g}" for name, value in settings.items() if value is not None]
    return ", ".join(shown)


def count_met(figures: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many demands are met, and how many goals reached; a figure that is not there does neither."""
    known = [(demand, figures[name]) for name, demand in DEMANDS.items() if name in figures]
    return (
        sum(demand.required.hold(value) for demand, value in known),
        sum(demand.goal.hold(value) for demand, value in known),
    )


def make_table(measured: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Lay out the figures, those that meet most first; equal ones stay in their order."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("sampling")
    for demand in DEMANDS.values():
        table.add_column(demand.label.replace("[", r"\["), justify="right")
    table.add_column(f"required, of {len(DEMANDS)}", justify="right")
    table.add_column("goals", justify="right")
    for figures in sorted(measured, key=count_met, reverse=True):
        cells = [_format(name, demand, figures) for name, demand in DEMANDS.items()]
        table.add_row(figures["settings"], *cells, *map(str, count_met(figures)))
    return table


def _format(name: str, demand: Demand, figures: Mapping[str, Any]) -> str:
    if name not in figures:
        return "-"
    value = figures[name]
    number = f"{value:.2f} ×" if name.endswith("_ratio") else f"{value:.2%}"
    if f"{name}_low" in figures:
        number = f"{figures[f'{name}_low']:.2f} - {figures[f'{name}_high']:.2f}: {number}"
    return number + ("*" if demand.goal.hold(value) else " " if demand.required.hold(value) else "!")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; return the exit status."""
    options = parse(arguments)
    progress = Console(stderr=True)
    combinations = list_settings(options)
    measured = []
    try:
        catalog = project.open_catalog(options.env)
        for figures in measure(catalog, combinations, options.reviews, options.texts):
            measured.append(figures)
            progress.print(
                f"{len(measured)} of {len(combinations) + 1}: {figures['settings']}", highlight=False
            )
    except (DatasetError, ValueError) as error:
        progress.print(str(error), markup=False, highlight=False)
        return 1
    title = (
        f"{measured[0]['texts']:g} texts beside reviews of {options.reviews} films: ratio to people's figure"
    )
    Console(width=None if sys.stdout.isatty() else 140).print(make_table(measured, title), highlight=False)
    if options.output:
        pd.DataFrame(measured).to_csv(options.output, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
