"""What a target of the fuzzer is: seeds that are valid, and a function that takes any bytes and lets nothing pass."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A part of the project that reads what anybody may have made.

    Args:
        make_seeds: Yields inputs that are valid, of which others are made.
        prepare: Loads the part, and returns what takes an input; an input that is refused as it should be returns, all
            else raises.
        max_input_size: Bytes of an input.
        max_seconds: For one input.
        max_megabytes: Of memory, of the whole process.
    """

    make_seeds: Callable[[], Iterable[bytes]]
    prepare: Callable[[], Callable[[bytes], None]]
    max_input_size: int = 1 << 16
    max_seconds: int = 10
    max_megabytes: int = 1500


class UnexplainedError(AssertionError):
    """Something was neither taken nor refused with a message."""
