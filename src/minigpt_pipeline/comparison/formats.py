"""Numbers and durations as a person reads them."""

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
DIGITS = 5
"""Of the largest number of a row; all its numbers have as many decimals."""
MAX_DECIMALS = 8


def format_number(value: float, row: Sequence[float]) -> str:
    """Write a number with as many decimals as the largest of its row needs for five digits.

    Args:
        value: What to write.
        row: The numbers that stand beside it, which decide how; none of them has decimals where all are whole.
    """
    return f"{value:,.{_count_decimals(row)}f}".replace("-", MINUS)


def format_difference(difference: float, value: float, row: Sequence[float]) -> str:
    """Write how far a value is from the first of its row, and the same in percent of that first one."""
    if not difference:
        return "equal"
    first = value - difference
    shown = f"{difference:+,.{_count_decimals(row)}f}"
    if math.isfinite(difference) and first:
        shown += f" ({difference / abs(first):+.1%})"
    return shown.replace("-", MINUS)


def _count_decimals(row: Sequence[float]) -> int:
    finite = [abs(value) for value in row if math.isfinite(value)]
    if all(value.is_integer() for value in finite):
        return 0
    digits_before_point = math.floor(math.log10(max(finite))) + 1
    return min(max(DIGITS - digits_before_point, 0), MAX_DECIMALS)


def format_seconds(seconds: float) -> str:
    """Write a duration: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
