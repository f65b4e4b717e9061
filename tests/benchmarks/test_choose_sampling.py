import io
from typing import Any

import pytest
from rich.console import Console

from benchmarks.choose_sampling import DEMANDS, count_met, describe, list_settings, make_table, parse

AS_PEOPLE = dict.fromkeys(DEMANDS, 1.0) | {"unk_rate": 0.0}


def test_every_combination_of_the_values_is_tried() -> None:
    options = parse(["--temperature", "0.5", "1", "--top-k", "none", "5", "--top-p", "none"])

    assert [describe(settings) for settings in list_settings(options)] == [
        "temperature 0.5",
        "temperature 0.5, top-k 5",
        "temperature 1",
        "temperature 1, top-k 5",
    ]


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, (5, 5)),
        ({"seq_rep_4_ratio": 0.5}, (5, 4)),
        ({"seq_rep_4_ratio": 1.51}, (4, 4)),
        ({"distinct_2_ratio": 7.0}, (5, 5)),
        ({"distinct_2_ratio": 0.7}, (5, 4)),
        ({"distinct_2_ratio": 0.69}, (4, 4)),
        ({"kneser_ney_perplexity_ratio": 0.79}, (5, 4)),
        ({"kneser_ney_perplexity_ratio": 0.49}, (4, 4)),
        ({"copied_8gram_share_ratio": 0.0}, (5, 5)),
        ({"copied_8gram_share_ratio": 1.3}, (5, 4)),
        ({"copied_8gram_share_ratio": 2.1}, (4, 4)),
        ({"unk_rate": 1e-6}, (4, 4)),
    ],
)
def test_what_is_required_and_what_is_the_goal(changes: dict[str, float], met: tuple[int, int]) -> None:
    assert count_met(AS_PEOPLE | changes) == met


def test_a_figure_that_is_not_there_meets_nothing() -> None:
    assert count_met({name: value for name, value in AS_PEOPLE.items() if name != "seq_rep_4_ratio"}) == (
        4,
        4,
    )


DULL = {
    "settings": "dull", "seq_rep_4_ratio": 7.25, "seq_rep_4_ratio_low": 6.5, "seq_rep_4_ratio_high": 8.0
}  # fmt: skip


def show(*measured: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=140).print(make_table(measured, "title"))
    return out.getvalue().splitlines()


def test_the_table_has_those_first_that_meet_most_and_marks_what_does_not() -> None:
    lines = show(
        AS_PEOPLE | DULL,
        AS_PEOPLE | {"settings": "well enough", "distinct_2_ratio": 0.75},
        AS_PEOPLE | {"settings": "as people"},
        {"settings": "unknown"},
    )

    shown = "\n".join(lines)
    places = [shown.index(name) for name in ("as people", "well enough", "dull", "unknown")]
    assert places == sorted(places)
    assert "6.50 - 8.00: 7.25 ×!" in next(line for line in lines if "dull" in line)
    enough = next(line for line in lines if "well enough" in line)
    assert "0.75 × " in enough
    assert "0.00%*" in enough
    assert "!" not in enough


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--texts", "1"], "--texts 1: at least two"),
        (["--top-k", "many"], "argument --top-k"),
        (["--reviews", "train"], "invalid choice: 'train'"),
    ],
)
def test_what_can_not_be_tried_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)

    assert message in capsys.readouterr().err
