"""Learning curves as SVG: no library, no script, and the page's own fonts and colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minigpt_pipeline.comparison.model_run import ModelRun
from minigpt_pipeline.pages.axes import Scale, find_ticks

Point = tuple[float, float]
"""Step and value, or pixels."""

WIDTH, HEIGHT = 600, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 572, 12, 288
"""Edges of the plot inside the picture; beside it there is room for numbers and for the runs' own."""

MAX_POINTS = 300
"""Of a curve; with more, neighbours are averaged."""
MAX_MARKERS = 60
"""Points of a curve that can still be told apart."""
LABEL_WIDTH, LABEL_HEIGHT = 20, 19
"""Of a run's number at the end of its curve, with room around it."""


@dataclass(frozen=True)
class Axis:
    """What losses are drawn against.

    Args:
        key: In the page's classes.
        label: Below the picture.
        metric: Its name in MLflow; None for the step itself.
        unit: What one of the metric is divided by, for people.
    """

    key: str
    label: str
    metric: str | None
    unit: float = 1.0


AXES = (
    Axis("steps", "optimizer steps", None),
    Axis("words", "million words trained on", "train/words", 1e6),
    Axis("minutes", "minutes of training", "train/seconds", 60),
)


@dataclass(frozen=True)
class Line:
    """A curve in pixels of the picture.

    Args:
        number: Of the run, from 1.
        path: For the attribute `d`.
        markers: Points and what they say to the mouse; only where they are few enough to be told apart.
        label: Where the run's number stands.
    """

    number: int
    path: str
    markers: list[tuple[float, float, str]]
    label: Point


@dataclass(frozen=True)
class Chart:
    """One metric of all runs against one axis.

    Args:
        axis: The horizontal one.
        lines: One for each run that has the metric.
        horizontal: Pixel and text of the ticks on the horizontal axis.
        vertical: The same of the vertical one.
        description: What it shows, in words.
        missing: Numbers of the runs that have the metric but not this axis.
    """

    axis: Axis
    lines: list[Line]
    horizontal: list[tuple[float, str]]
    vertical: list[tuple[float, str]]
    description: str
    missing: list[int]


def draw_charts(runs: Sequence[ModelRun], metric: str) -> list[Chart]:
    """Draw a metric of all runs against each axis that any of them has.

    Args:
        runs: In the order of their numbers.
        metric: Such as `val/loss`, in nats per word.

    Returns:
        One for each axis that a run knows; nothing where no run has the metric.
    """
    charts = (_draw(runs, metric, axis) for axis in AXES)
    return [chart for chart in charts if chart.lines]


def _draw(runs: Sequence[ModelRun], metric: str, axis: Axis) -> Chart:
    measured = {number: _finite(run.curves.get(metric, ())) for number, run in enumerate(runs, start=1)}
    placed = {number: _against(axis, runs[number - 1], curve) for number, curve in measured.items()}
    curves = {number: curve for number, curve in placed.items() if curve}
    missing = [number for number, curve in measured.items() if curve and number not in curves]
    if not curves:
        return Chart(axis, [], [], [], "", missing)
    right = max(curve[-1][0] for curve in curves.values()) or 1.0
    low, high = _vertical_range(list(curves.values()))
    to_x, to_y = Scale(0, right, LEFT, RIGHT), Scale(low, high, BOTTOM, TOP)
    labels = _move_apart(
        {number: (to_x(curve[-1][0]) + 8, to_y(curve[-1][1])) for number, curve in curves.items()}
    )
    are_few = max(len(curve) for curve in curves.values()) <= MAX_MARKERS
    lines = []
    for number, curve in curves.items():
        pixels = [(to_x(x), to_y(y)) for x, y in curve]
        notes = [f"run {number}, {x:,.5g} {axis.label}: {y:.4f}" for x, y in curve]
        markers = [(*pixel, note) for pixel, note in zip(pixels, notes, strict=True)]
        lines.append(Line(number, _to_path(_thin_out(pixels)), markers if are_few else [], labels[number]))
    lowest = "; ".join(f"run {number}: {min(y for _, y in curve):.4f}" for number, curve in curves.items())
    return Chart(
        axis,
        lines,
        [(to_x(value), text) for value, text in find_ticks(0, right)],
        [(to_y(value), text) for value, text in find_ticks(low, high)],
        f"{metric} against {axis.label}; the lowest values, in nats per word, are {lowest}",
        missing,
    )


def _finite(curve: Sequence[Point]) -> list[Point]:
    return [(x, y) for x, y in curve if math.isfinite(y)]


def _against(axis: Axis, run: ModelRun, curve: list[Point]) -> list[Point]:
    """Return a curve against an axis, which may have been measured at other steps."""
    if axis.metric is None:
        return curve
    known = run.curves.get(axis.metric, ())
    if not known:
        return []
    steps, values = np.array([(0, 0.0), *known]).T  # no step takes no time and no word
    across = np.interp([step for step, _ in curve], steps, values) / axis.unit
    return [(float(x), y) for x, (_, y) in zip(across, curve, strict=True)]


def _vertical_range(curves: Sequence[Sequence[Point]]) -> tuple[float, float]:
    """Return the lowest value, and the highest after the first tenth of each curve: a fresh model's loss dwarfs all."""
    low = min(y for curve in curves for _, y in curve)
    high = max(y for curve in curves for _, y in curve[len(curve) // 10 :])
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _thin_out(points: Sequence[Point]) -> list[Point]:
    size = math.ceil(len(points) / MAX_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups
    ]


def _to_path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _move_apart(ends: dict[int, Point]) -> dict[int, Point]:
    """Move labels up that would cover others, from the lowest on."""
    placed: dict[int, Point] = {}
    for number, (x, y) in sorted(ends.items(), key=lambda item: -item[1][1]):
        beside = [other_y for other_x, other_y in placed.values() if abs(other_x - x) < LABEL_WIDTH]
        placed[number] = x, min([y, *(other_y - LABEL_HEIGHT for other_y in beside)])
    return placed
