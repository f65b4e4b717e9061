import itertools
import math
import re
from collections.abc import Callable

import pytest

from minigpt_pipeline.comparison.curves import BOTTOM, LEFT, RIGHT, TOP, Chart, draw_charts
from minigpt_pipeline.comparison.model_run import ModelRun

MakeRun = Callable[..., ModelRun]


def read_path(chart: Chart, line: int = 0) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", chart.lines[line].path)]


def test_a_curve_fills_the_picture_from_left_to_right(make_run: MakeRun) -> None:
    (chart,) = draw_charts([make_run(curves={"val/loss": [(50, 3.0), (100, 2.0)]})], "val/loss")

    (x, y), (last_x, last_y) = read_path(chart)
    assert (x, last_x) == ((LEFT + RIGHT) / 2, RIGHT)
    assert TOP < y < last_y < BOTTOM
    assert chart.description.endswith("run 1: 2.0000")


def test_words_and_minutes_are_taken_at_the_steps_of_the_loss(make_run: MakeRun) -> None:
    curves = {
        "val/loss": [(5, 3.0), (20, 2.0)],
        "train/words": [(10, 4e6), (20, 8e6)],
        "train/seconds": [(20, 60.0)],
    }

    steps, words, minutes = draw_charts([make_run(curves=curves)], "val/loss")

    quarter = LEFT + (RIGHT - LEFT) / 4
    assert [x for x, _ in read_path(words)] == pytest.approx([quarter, RIGHT])
    assert "2 million words trained on: 3.0000" in words.lines[0].markers[0][2]
    assert "0.25 minutes of training: 3.0000" in minutes.lines[0].markers[0][2]
    assert steps.missing == words.missing == []


def test_runs_without_an_axis_or_a_metric_are_not_drawn(make_run: MakeRun) -> None:
    loss = {"train/loss": [(1, 3.0)]}
    runs = [make_run(curves=loss), make_run(curves=loss | {"train/words": [(1, 9.0)]}), make_run()]

    steps, words = draw_charts(runs, "train/loss")

    assert [line.number for line in steps.lines] == [1, 2]
    assert [line.number for line in words.lines] == [2]
    assert words.missing == [1]
    assert draw_charts(runs, "val/loss") == []


def test_losses_that_are_not_finite_are_left_out(make_run: MakeRun) -> None:
    curve = [(1, 3.0), (2, math.inf), (3, math.nan), (4, 2.0)]

    (chart,) = draw_charts([make_run(curves={"train/loss": curve})], "train/loss")

    assert len(read_path(chart)) == 2


def test_the_loss_of_a_fresh_model_does_not_dwarf_the_rest(make_run: MakeRun) -> None:
    curve = [(step, 100.0 if step == 0 else 3.0 - step / 100) for step in range(100)]

    (chart,) = draw_charts([make_run(curves={"train/loss": curve})], "train/loss")

    assert read_path(chart)[0][1] < 0  # above the picture
    assert read_path(chart)[-1][1] > 0.9 * BOTTOM


def test_a_long_curve_is_thinned_out_by_averages(make_run: MakeRun) -> None:
    curve = [(step, float(step % 2)) for step in range(1, 1001)]

    (chart,) = draw_charts([make_run(curves={"train/loss": curve})], "train/loss")

    points = read_path(chart)
    assert len(points) == 250
    assert {y for _, y in points} == {points[0][1]}
    assert chart.lines[0].markers == []


def test_labels_of_curves_with_one_end_do_not_cover_each_other(make_run: MakeRun) -> None:
    short, *runs = (make_run(curves={"val/loss": [(1, 3.0), (end, 2.0)]}) for end in (2, *[10] * 8))

    (chart,) = draw_charts([short, *runs], "val/loss")

    heights = sorted(line.label[1] for line in chart.lines[1:])
    assert min(high - low for low, high in itertools.pairwise(heights)) == pytest.approx(19)
    assert chart.lines[0].label[1] == pytest.approx(max(heights))  # alone where it ends
