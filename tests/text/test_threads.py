import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from minigpt_pipeline.text.threads import map_in_order


def test_map_in_order_keeps_the_order_of_the_pieces() -> None:
    def double(number: int) -> int:
        time.sleep(0.002 * (number % 3))  # later ones are done before earlier ones
        return 2 * number

    assert list(map_in_order(double, range(30))) == [2 * number for number in range(30)]


def test_map_in_order_works_in_several_threads_and_reads_little_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: 3)
    num_read = 0
    threads = set()
    meeting = threading.Barrier(3, timeout=30)  # passed only by three threads at once

    def pieces() -> Iterator[int]:
        nonlocal num_read
        for number in range(30):
            num_read += 1
            yield number

    def meet(number: int) -> int:
        meeting.wait()
        threads.add(threading.get_ident())
        return number

    for number in map_in_order(meet, pieces()):
        assert num_read <= number + 4
    assert num_read == 30
    assert len(threads) == 3


def test_map_in_order_raises_what_the_function_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda number: 1 // number, [1, 0, 1]))


def test_map_in_order_of_nothing_is_nothing() -> None:
    assert list(map_in_order(str, [])) == []
