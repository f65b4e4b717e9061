import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from minigpt_pipeline.model.interruption import interruptible
from minigpt_pipeline.sigterm import interrupting


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_does_what_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with interrupting() as termination, pytest.raises(KeyboardInterrupt):
        terminate()

    assert termination.requested
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_training_ends_behind_its_step_and_at_once_the_second_time() -> None:
    with interrupting(), interruptible() as interruption:
        terminate()
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            terminate()


def test_sigterm_counts_where_ctrl_c_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupting(), pytest.raises(KeyboardInterrupt):
            terminate()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_leaves_signals_alone() -> None:
    def handler() -> object:
        with interrupting():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor() as threads:
        assert threads.submit(handler).result() == signal.getsignal(signal.SIGTERM)
