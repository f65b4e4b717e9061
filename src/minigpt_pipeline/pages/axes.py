"""Axes of pictures in pages."""

import math
from collections.abc import Iterator

QUARTER = 2.5  # needs a decimal more than the others
ROUND_STEPS = (1, 2, QUARTER, 5, 10)


class Scale:
    """From values to pixels."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self.first = low, first
        self.pixels = (last - first) / (high - low)

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.first + (value - self.low) * self.pixels


def find_ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    """Give three to eight round numbers between two others, and how they are written."""
    rough = (high - low) / 7
    magnitude = 10.0 ** math.floor(math.log10(rough))
    factor = next(factor for factor in ROUND_STEPS if factor * magnitude >= rough)
    step = factor * magnitude
    decimals = max(0, (factor == QUARTER) - math.floor(math.log10(step) + 1e-9))
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield number * step, f"{number * step:,.{decimals}f}"
