import pytest

from minigpt_pipeline.pages.axes import Scale, find_ticks


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (4.48, 5.02, ["4.5", "4.6", "4.7", "4.8", "4.9", "5.0"]),
        (0, 1.5, ["0.00", "0.25", "0.50", "0.75", "1.00", "1.25", "1.50"]),
        (0, 12_000, ["0", "2,000", "4,000", "6,000", "8,000", "10,000", "12,000"]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, texts: list[str]) -> None:
    assert [text for _, text in find_ticks(low, high)] == texts


def test_a_scale_is_upside_down_where_pixels_are() -> None:
    to_pixel = Scale(0, 10, 100, 20)

    assert [to_pixel(value) for value in (0, 5, 10)] == [100, 60, 20]
