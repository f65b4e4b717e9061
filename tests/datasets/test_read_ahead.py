import io
import threading

import pytest

from minigpt_pipeline.datasets import read_ahead
from minigpt_pipeline.datasets.read_ahead import ReadAhead


class SlowStream(io.BytesIO):
    """Remembers which thread has read."""

    reader: int | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.reader = threading.get_ident()
        return super().read(size)


def test_read_ahead_gives_the_same_bytes_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "CHUNK_SIZE", 100)
    content = bytes(range(256)) * 10
    stream = SlowStream(content)

    with io.BufferedReader(ReadAhead(stream), 64) as ahead:
        assert b"".join(iter(lambda: ahead.read(37), b"")) == content
    assert stream.reader not in (None, threading.get_ident())


def test_read_ahead_raises_what_the_stream_raises() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise EOFError("cut off")

    with io.BufferedReader(ReadAhead(Broken())) as ahead, pytest.raises(EOFError, match="cut off"):
        ahead.read(1)


def test_read_ahead_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with ReadAhead(io.BytesIO(b"never read")):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
