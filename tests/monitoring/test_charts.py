from typing import Any

from minigpt_pipeline.monitoring.charts import BOTTOM, LEFT, RIGHT, TOP, draw_charts

UNTIL = "2026-11-26T12:00:00+00:00"


def make_spans(*values: float | None, **others: Any) -> list[dict[str, Any]]:
    empty = dict.fromkeys(("first_token_p50", "first_token_p95", "unk_rate", "seq_rep_4"))
    return [
        {
            "begin": f"2026-11-26T{number:02}:00:00+00:00",
            "requests": 1,
            "texts": 1,
            **empty,
            "unk_rate": value,
            **others,
        }
        for number, value in enumerate(values)
    ]


def test_a_figure_is_drawn_from_zero_and_broken_where_there_is_none() -> None:
    _, unknown = draw_charts(make_spans(0.0, 0.02, None, 0.04), {}, UNTIL)
    (line,) = unknown.lines

    assert unknown.title == "[UNK] in prompts, %"
    assert line.path.count("M") == 2
    assert [note for _, _, note in line.markers] == [
        "from 26 Nov 00:00: prompts, 0.00 %", "from 26 Nov 01:00: prompts, 2.00 %", "from 26 Nov 03:00: prompts, 4.00 %"
    ]  # fmt: skip
    heights = [y for _, y, _ in line.markers]
    assert heights[0] == BOTTOM
    assert BOTTOM > heights[1] > heights[2] >= TOP
    assert all(LEFT < x < RIGHT for x, _, _ in line.markers)
    assert unknown.description == "[UNK] in prompts, % over time; prompts: 0.00 % to 4.00 %"


def test_the_level_of_training_reviews_is_inside_the_picture() -> None:
    _, unknown = draw_charts(make_spans(0.01, 0.02), {"training_unk_rate": 0.5}, UNTIL)

    assert unknown.level is not None
    assert BOTTOM > unknown.level[0] > TOP
    assert unknown.level[1] == "training 50.00 %"


def test_what_nobody_has_measured_is_not_drawn() -> None:
    assert [chart.title for chart in draw_charts(make_spans(None, None), {}, UNTIL)] == ["Texts"]
    assert draw_charts([], {}, UNTIL) == []


def test_two_figures_share_a_picture() -> None:
    charts = draw_charts(make_spans(None, None, first_token_p50=0.01, first_token_p95=0.02), {}, UNTIL)

    assert [line.label for line in charts[1].lines] == ["half of the texts", "95 % of the texts"]


def test_times_are_days_where_hours_would_be_too_many() -> None:
    spans = make_spans(0.1, 0.1)

    assert draw_charts(spans, {}, UNTIL)[0].horizontal[0][1] == "00:00"
    assert draw_charts(spans, {}, "2026-12-26T12:00:00+00:00")[0].horizontal[0][1] == "26 Nov"
