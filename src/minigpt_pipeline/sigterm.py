"""SIGTERM as Ctrl-C: what ends a container, a service or a machine ends a run as kindly as a user does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Termination:
    """Whether SIGTERM has come."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def interrupting() -> Iterator[Termination]:
    """Let SIGTERM do what Ctrl-C does, whatever that is at the time.

    Yields:
        What says whether it came. Outside the main thread, where signals can't be caught, it does what it always does.
    """
    termination = Termination()
    if threading.current_thread() is not threading.main_thread():
        yield termination
        return

    def interrupt(_number: int, frame: FrameType | None) -> None:
        termination.requested = True
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # in the background of a shell Ctrl-C is ignored
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, previous)
