import signal
import threading

import pytest

from minigpt_pipeline.model.interruption import interruptible


def test_interruptible_notes_the_first_and_raises_the_second() -> None:
    with interruptible() as interruption:
        assert not interruption.requested
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_interruptible_gives_the_signal_back() -> None:
    before = signal.getsignal(signal.SIGINT)

    with interruptible():
        assert signal.getsignal(signal.SIGINT) != before

    assert signal.getsignal(signal.SIGINT) == before


def test_interruptible_does_nothing_outside_the_main_thread() -> None:
    seen: list[bool] = []

    def work() -> None:
        with interruptible() as interruption:
            seen.append(interruption.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [False]
