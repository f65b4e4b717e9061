"""`python -m benchmarks.soak_report FOLDER [WITHOUT]`: a table and a plot of what many cycles leave behind.

FOLDER is one of `benchmarks.soak`; WITHOUT is another one, of a soak with `--keep-all`, to show what retention spares.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.harness import PROJECT
from benchmarks.results import make_markdown, show_commit, write_json
from benchmarks.soak import MEASUREMENTS, SETTINGS
from minigpt_pipeline.files import replacing

Cycle = dict[str, Any]

FIGURES = (
    ("seconds of processor", "processor_seconds", 1.0, "{:,.1f}"),
    ("seconds", "seconds", 1.0, "{:,.1f}"),
    ("peak memory (MB)", "peak_memory_bytes", 1e-6, "{:,.0f}"),
    ("open files", "open_files", 1.0, "{:,.0f}"),
    ("accepted data (MB)", "accepted_bytes", 1e-6, "{:,.2f}"),
    ("data without it (MB)", "data_bytes", 1e-6, "{:,.2f}"),
    ("files of data without it", "data_files", 1.0, "{:,.0f}"),
    ("artifacts (MB)", "mlartifacts_bytes", 1e-6, "{:,.1f}"),
    ("files of artifacts", "mlartifacts_files", 1.0, "{:,.0f}"),
    ("mlflow.db (MB)", "database_bytes", 1e-6, "{:,.2f}"),
    ("free in it (MB)", "free_bytes", 1e-6, "{:,.2f}"),
    ("rows", "rows", 1.0, "{:,.0f}"),
    ("runs", "runs", 1.0, "{:,.0f}"),
    ("versions", "versions", 1.0, "{:,.0f}"),
)
"""What a row of the table is called, its name in a cycle, its scale and its form."""
PANELS = (
    "processor_seconds",
    "peak_memory_bytes",
    "open_files",
    "mlartifacts_bytes",
    "database_bytes",
    "data_bytes",
)
OF_WORK = ("processor_seconds", "seconds", "peak_memory_bytes", "open_files")
"""Figures of the process: they compare among cycles that have trained."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write `long_life.json` and `long_life.md` beside the measurements, and the plot where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak_report", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("without", type=Path, nargs="?")
    parser.add_argument(
        "--image", type=Path, default=PROJECT / "docs/images/long_life.png", help="default: %(default)s"
    )
    asked = parser.parse_args(arguments)
    cycles = read_cycles(asked.folder)
    without = read_cycles(asked.without) if asked.without else []
    settings = json.loads((asked.folder / SETTINGS).read_text(encoding="utf-8"))
    cells = make_cells(cycles, without)
    news = [cycle["news"] for cycle in cycles]
    line = (
        f"{len(cycles)} cycles, {news.count('new')} with new reviews, {news.count('poisoned')} with a batch that was "
        f"refused, {news.count('nothing')} with nothing; {settings['machine']['processor']}, "
        f"{settings['machine']['cores']} cores; commit {show_commit(settings)}"
    )
    page = make_markdown("What many retraining cycles leave behind", cells, [line])
    with replacing(asked.folder / "long_life.md") as partial:
        partial.write_text(page, encoding="utf-8")
    write_json(asked.folder / "long_life.json", settings | {"cycles": cycles, "without_retention": without})
    from minigpt_pipeline.datasets import FigureDataset

    FigureDataset(filepath=str(asked.image)).save(draw(cycles, without))
    Console().print(page, markup=False, highlight=False, soft_wrap=True)
    return 0


def read_cycles(folder: Path) -> list[Cycle]:
    """Return what was measured, with the data that were accepted, which grow as they should, taken out of the rest."""
    lines = (folder / MEASUREMENTS).read_text(encoding="utf-8").splitlines()
    cycles: list[Cycle] = [json.loads(line) for line in lines]
    for cycle in cycles:
        for what in ("bytes", "files"):
            cycle[f"data_{what}"] -= cycle[f"accepted_{what}"]
    return cycles


def make_cells(cycles: Sequence[Cycle], without: Sequence[Cycle]) -> list[list[str]]:
    """Return the texts of the table, the header first.

    Args:
        cycles: Of the soak.
        without: Of the one that removes nothing; may be empty.
    """
    tenth = max(len(cycles) // 10, 1)
    places = (len(cycles) // 5, len(cycles) // 2, len(cycles) - tenth)
    header = [
        "median of cycles",
        *(f"{place + 1} to {place + tenth}" for place in places),
        "a hundred cycles add",
    ]
    rows = []
    for title, name, scale, form in FIGURES:
        medians = [_median(cycles[place : place + tenth], name) for place in places]
        texts = [form.format(scale * value) for value in medians]
        slopes = [100 * scale * find_slope(cycles, name)]
        slopes += [100 * scale * find_slope(without, name)] if without else []
        rows.append([title, *texts, *(f"{slope:+,.2f}" for slope in slopes)])
    return [header + (["without retention"] if without else []), *rows]


def _median(cycles: Sequence[Cycle], name: str) -> float:
    chosen = [cycle[name] for cycle in cycles if name not in OF_WORK or cycle["news"] == "new"]
    return float(np.median(chosen)) if chosen else float("nan")


def find_slope(cycles: Sequence[Cycle], name: str) -> float:
    """Return by how much a figure grows a cycle in the second half: the first one fills what is kept."""
    half = [cycle for cycle in cycles[len(cycles) // 2 :] if name not in OF_WORK or cycle["news"] == "new"]
    if len(half) <= 1:
        return float("nan")
    return float(np.polyfit([cycle["cycle"] for cycle in half], [cycle[name] for cycle in half], 1)[0])


def draw(cycles: Sequence[Cycle], without: Sequence[Cycle]) -> Any:
    """Draw each figure against the number of the cycle.

    Args:
        cycles: Of the soak.
        without: Of the one that removes nothing; may be empty.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    titles = {name: (title, scale) for title, name, scale, _ in FIGURES}
    for panel, name in zip(figure.subplots(2, 3, sharex=True).flat, PANELS, strict=True):
        title, scale = titles[name]
        for series, label, colour in (
            (without, "nothing is removed", "tab:orange"),
            (cycles, "as configured", "tab:blue"),
        ):
            shown = [cycle for cycle in series if name not in OF_WORK or cycle["news"] == "new"]
            if shown:
                numbers = [cycle["cycle"] for cycle in shown]
                panel.plot(
                    numbers, [scale * cycle[name] for cycle in shown], color=colour, linewidth=1, label=label
                )
        panel.set_title(title, fontsize="medium")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.2)
    figure.axes[3].legend(frameon=False, fontsize="small")
    figure.supxlabel("cycle")
    return figure


if __name__ == "__main__":
    sys.exit(main())
