"""How words a second and memory of the project's step change with its sizes; one plot."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparisons.training import WORKERS
from benchmarks.corpus import draw_sequences
from benchmarks.harness import Variant
from benchmarks.options import Options
from benchmarks.reference import example_sizes
from benchmarks.results import MEMORY_COLUMNS, PEAK_MEMORY, Column, Plan, Row

EXAMPLE_SIZES = {
    "vocabulary": example_sizes.VOCABULARY_SIZE,
    "width": example_sizes.EMBED_DIM,
    "context": example_sizes.SEQUENCE_LENGTH,
    "batch": example_sizes.BATCH_SIZE,
}
SIZES = {
    "vocabulary": (5_000, 10_000, 20_000, 40_000, 80_000),
    "width": (64, 128, 256, 512),
    "context": (40, 80, 160, 320),
    "batch": (32, 64, 128, 256),
}
"""One of them is changed at a time; the others stay as in the example."""

SERIES: dict[str, dict[str, Any]] = {
    "full softmax, bfloat16": {"precision": "mixed_bfloat16"},
}
"""What stands after `kedro run --env keras_example --params`; a new line of the plot is a line here."""

COLUMNS = (
    Column("tokens/s", ("medians", "tokens_per_second")),
    Column("ratio", ("ratios", "tokens_per_second"), "{:.2f} ×"),
    *MEMORY_COLUMNS,
)


def plan(options: Options) -> Plan:
    """Compare sizes, each with the example's."""
    variants = [
        _make_variant(options, series, sizes) for series in SERIES for sizes in list_sizes(options.is_quick)
    ]
    return Plan(
        name="scaling",
        title="Training of our step, by size",
        variants=variants,
        baseline=variants[0].name,
        rounds=options.choose_rounds(3, 1),
        columns=COLUMNS,
        settings={"example_sizes": EXAMPLE_SIZES, "corpus": "synthetic words"},
        fresh_processes=True,
        conclude=partial(conclude, image=options.images / "scaling.png"),
    )


def list_sizes(is_quick: bool) -> list[dict[str, int]]:
    """Return the example's sizes, then those in which one is another; quick: the smallest of each only."""
    changed = [
        EXAMPLE_SIZES | {axis: size}
        for axis, sizes in SIZES.items()
        for size in (sizes[:1] if is_quick else sizes)
        if size != EXAMPLE_SIZES[axis]
    ]
    return [EXAMPLE_SIZES, *changed]


def describe_sizes(series: str, sizes: Mapping[str, int]) -> str:
    """Return the name of a row: what differs from the example."""
    changed = [f"{axis} {size:,}" for axis, size in sizes.items() if size != EXAMPLE_SIZES[axis]]
    return f"{series}, {', '.join(changed) or 'the example'}"


def _make_variant(options: Options, series: str, sizes: Mapping[str, int]) -> Variant:
    steps = options.choose(5, 2)
    file = options.folder / f"scaling_{sizes['vocabulary']}_{sizes['context']}_{sizes['batch']}.npy"
    np.save(file, draw_sequences((steps + 2) * sizes["batch"], sizes["context"], sizes["vocabulary"]))
    width = sizes["width"]
    overrides = SERIES[series] | {
        "device": options.device,
        "model": {
            "sequence_length": sizes["context"],
            "embed_dim": width,
            "head_dim": width,
            "feed_forward_dim": width,
        },
        "training": {"batch_size": sizes["batch"]},
    }
    settings = {"vocabulary_size": sizes["vocabulary"], "steps": steps, "overrides": overrides}
    return Variant(
        describe_sizes(series, sizes), f"{WORKERS}:ProjectTraining", settings, {"sequences": str(file)}
    )


def conclude(rows: Sequence[Row], image: Path) -> list[str]:
    """Draw the plot, and say where it is."""
    from minigpt_pipeline.datasets import FigureDataset

    FigureDataset(filepath=str(image)).save(draw(rows))
    return [
        f"Sizes of the example: {', '.join(f'{a} {s:,}' for a, s in EXAMPLE_SIZES.items())}; plot: {image.name}."
    ]


def draw(rows: Sequence[Row]) -> Any:
    """Draw words a second, and memory below, against each size.

    Args:
        rows: Of the result.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    by_name = {row["name"]: row for row in rows}
    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(2, len(SIZES), sharex="col", sharey="row")
    for column, axis in enumerate(SIZES):
        speed, memory = panels[0][column], panels[1][column]
        for series in SERIES:
            points = {
                size: by_name.get(describe_sizes(series, EXAMPLE_SIZES | {axis: size}))
                for size in SIZES[axis]
            }
            measured = {size: row for size, row in points.items() if row}
            tokens = [row["medians"]["tokens_per_second"] for row in measured.values()]
            gigabytes = [row[PEAK_MEMORY] / 1e9 for row in measured.values()]
            speed.plot(list(measured), tokens, marker="o", label=series)
            memory.plot(list(measured), gigabytes, marker="o")
        memory.set_xlabel(axis)
        memory.set_xscale("log", base=2)
        memory.set_xticks(SIZES[axis], [f"{size:,}".replace(",000", "k") for size in SIZES[axis]])
        memory.minorticks_off()
        for panel in (speed, memory):
            panel.grid(alpha=0.2)
    for row in panels:
        row[0].set_ylim(bottom=0)  # when all is drawn: the limits of a row are those of all its panels
    panels[0][0].set_ylabel("tokens/s")
    panels[1][0].set_ylabel("peak memory (GB)")
    panels[0][0].legend(frameon=False, fontsize="small")
    return figure
