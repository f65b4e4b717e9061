"""How figures went over a window of time, as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from minigpt_pipeline.pages.axes import Scale, find_ticks

WIDTH, HEIGHT = 600, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 580, 14, 258
"""Edges of the plot inside the picture."""

NUM_TIMES = 4
"""Parts of the horizontal axis that have a time between them."""

TWO_DAYS = timedelta(days=2)


@dataclass(frozen=True)
class Line:
    """A figure over time, in pixels.

    Args:
        label: What it is.
        path: For the attribute `d`; broken where there was nothing to measure.
        markers: Points, and what they say to the mouse.
    """

    label: str
    path: str
    markers: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """Figures against time.

    Args:
        title: What they are.
        lines: One or more.
        level: Pixel and text of the training reviews' figure.
        horizontal: Pixel and text of the ticks on the horizontal axis.
        vertical: The same of the vertical one.
        description: What it shows, in words.
    """

    title: str
    lines: list[Line]
    level: tuple[float, str] | None
    horizontal: list[tuple[float, str]]
    vertical: list[tuple[float, str]]
    description: str


@dataclass(frozen=True)
class Picture:
    """What a chart shows.

    Args:
        title: Of the chart.
        figures: Names of the figures and what people read.
        form: How a value is written.
        factor: By which values are multiplied.
        level: Name of the training reviews' figure.
    """

    title: str
    figures: tuple[tuple[str, str], ...]
    form: str
    factor: float = 1.0
    level: str | None = None


PICTURES = (
    Picture("Texts", (("texts", "texts"),), "{:,.0f}"),
    Picture(
        "Milliseconds to the first token",
        (("first_token_p50", "half of the texts"), ("first_token_p95", "95 % of the texts")),
        "{:,.0f} ms",
        1000,
    ),
    Picture("[UNK] in prompts, %", (("unk_rate", "prompts"),), "{:.2f} %", 100, "training_unk_rate"),
    Picture(
        "4-grams that a text repeats, %", (("seq_rep_4", "texts"),), "{:.2f} %", 100, "training_seq_rep_4"
    ),
)


def draw_charts(spans: Sequence[Mapping[str, Any]], figures: Mapping[str, float], until: str) -> list[Chart]:
    """Draw each picture for which there is something to show.

    Args:
        spans: As `report.describe_served` makes them.
        figures: Of all versions, with those of the training reviews.
        until: End of the window.
    """
    charts = [_draw(picture, spans, figures, until) for picture in PICTURES]
    return [chart for chart in charts if chart]


def _draw(
    picture: Picture, spans: Sequence[Mapping[str, Any]], figures: Mapping[str, float], until: str
) -> Chart | None:
    measured = {
        label: [None if span[name] is None else span[name] * picture.factor for span in spans]
        for name, label in picture.figures
    }
    values = [value for line in measured.values() for value in line if value is not None]
    if not values:
        return None
    level = figures.get(picture.level) if picture.level else None
    top = 1.08 * max(*values, 0.0 if level is None else level * picture.factor) or 1.0
    to_x, to_y = Scale(0, len(spans), LEFT, RIGHT), Scale(0, top, BOTTOM, TOP)
    begins = [datetime.fromisoformat(span["begin"]) for span in spans]
    form = "%H:%M" if datetime.fromisoformat(until) - begins[0] <= TWO_DAYS else "%d %b"
    lines = []
    for label, line in measured.items():
        points = [
            None if value is None else (to_x(place + 0.5), to_y(value)) for place, value in enumerate(line)
        ]
        markers = [
            (*point, f"from {begin:%d %b %H:%M}: {label}, {picture.form.format(value)}")
            for begin, point, value in zip(begins, points, line, strict=True)
            if point is not None and value is not None
        ]
        lines.append(Line(label, _to_path(points), markers))
    extremes = "; ".join(
        f"{label}: {picture.form.format(min(known))} to {picture.form.format(max(known))}"
        for label, line in measured.items()
        if (known := [value for value in line if value is not None])
    )
    return Chart(
        picture.title,
        lines,
        None
        if level is None
        else (to_y(level * picture.factor), f"training {picture.form.format(level * picture.factor)}"),
        [
            (to_x(place), f"{begins[place]:{form}}")
            for place in range(0, len(spans), max(1, len(spans) // NUM_TIMES))
        ],
        [(to_y(value), text) for value, text in find_ticks(0, top)],
        f"{picture.title} over time; {extremes}",
    )


def _to_path(points: Sequence[tuple[float, float] | None]) -> str:
    steps, is_drawing = [], False
    for point in points:
        if point is not None:
            steps.append(f"{'L' if is_drawing else 'M'}{point[0]:.1f} {point[1]:.1f}")
        is_drawing = point is not None
    return "".join(steps)
