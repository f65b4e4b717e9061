"""Work on pieces of a corpus on every core, a few pieces at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """Apply a function to each piece; the results do not depend on the number of threads.

    Threads are enough: pyarrow and NumPy let others run while they compute.

    Args:
        function: Called by several threads at once.
        pieces: Read as they are needed, so that only a few are in memory.

    Yields:
        The results in the order of the pieces.
    """
    num_threads = pa.cpu_count()
    with ThreadPoolExecutor(num_threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for piece in pieces:
            waiting.append(pool.submit(function, piece))
            if len(waiting) > num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
