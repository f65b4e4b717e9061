"""What tests do with servers on loopback."""

import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

PATIENCE = 90.0
"""Seconds that a server may take to answer: most of them are imports."""


def wait_until(condition: Callable[[], bool], is_possible: Callable[[], bool] = lambda: True) -> None:
    """Wait until it is so, as long as it can come to that."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert is_possible()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def make_mlflow_command(*arguments: str, port: int) -> list[str]:
    """Return the command of a server of MLflow, `server` or `models serve`."""
    return [
        *(sys.executable, "-m", "mlflow", *arguments),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]


def answers(url: str) -> bool:
    """Whether something answers there, whatever it says."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
