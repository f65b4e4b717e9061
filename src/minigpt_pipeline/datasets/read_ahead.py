"""A stream that is read ahead."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

CHUNK_SIZE = 1 << 20


class ReadAhead(io.RawIOBase):
    """A stream of which another thread reads, or decompresses, the next piece while this one is parsed.

    Args:
        stream: Closed by whoever has opened it.
    """

    def __init__(self, stream: Any) -> None:
        """Begin to read."""
        self._stream = stream
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._piece = memoryview(b"")
        self._next_piece = self._thread.submit(stream.read, CHUNK_SIZE)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the piece at hand goes; an error of the stream is raised here."""
        if not self._piece:
            self._piece = memoryview(self._next_piece.result())
            self._next_piece = self._thread.submit(self._stream.read, CHUNK_SIZE)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def close(self) -> None:
        """Wait for the thread, which may still hold the stream."""
        self._thread.shutdown(cancel_futures=True)
        super().close()
