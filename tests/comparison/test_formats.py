import math

import pytest

from minigpt_pipeline.comparison.formats import format_difference, format_number, format_seconds


@pytest.mark.parametrize(
    ("value", "row", "text"),
    [
        (4.5703, [4.5703], "4.5703"),
        (9.5, [9.5, 96.57], "9.500"),
        (179452.0, [179452.0], "179,452"),
        (8870.04, [8870.04], "8,870.0"),
        (0.0222, [0.0222], "0.022200"),
        (0.0, [0.0, 0.0], "0"),
        (-0.5, [0.5], "−0.50000"),
        (math.nan, [math.nan, 2.5], "nan"),
        (math.inf, [math.inf], "inf"),
    ],
)
def test_numbers_of_a_row_have_equal_decimals(value: float, row: list[float], text: str) -> None:
    assert format_number(value, row) == text


@pytest.mark.parametrize(
    ("difference", "value", "text"),
    [(-0.5, 1.5, "−0.5000 (−25.0%)"), (1.5, 1.5, "+1.5000"), (0.0, 1.5, "equal"), (math.nan, 1.5, "+nan")],
)
def test_differences_have_a_sign_and_a_share(difference: float, value: float, text: str) -> None:
    assert format_difference(difference, value, [1.5]) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (48.0, "48 s"), (59.7, "1 min 00 s"), (200.2, "3 min 20 s"), (7503.0, "2 h 05 min")],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
