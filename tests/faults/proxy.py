"""A server between runs and MLflow's, which is well until it is not."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

SLOWNESS = 0.2
"""Seconds that each answer takes longer."""


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, until something happens to one, and from then on to all, or to some.

    Args:
        port: Of the server.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = port
        self.released = Event()
        self._lock = Lock()
        self.plan("well", 0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def plan(self, what: str, number: int, times: int | None = None) -> None:
        """Let something happen from a request on.

        Args:
            what: `well`, `gone`, `hangs`, `slow`, or a status such as `503`.
            number: Of the request, from now on.
            times: How often; null means from then on.
        """
        self._what, self._first, self._times = what, number, times
        self.requests = 0
        self.released.clear()

    def next_answer(self) -> str:
        with self._lock:
            self.requests += 1
            last = self._first + self._times if self._times else None
            is_planned = self.requests >= self._first and (last is None or self.requests < last)
            return self._what if is_planned else "well"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of connections that were cut: that is what they are for."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def answer(self) -> None:
        proxy: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = proxy.next_answer()
        if what == "gone":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if what == "hangs":
            proxy.released.wait(60)
            return
        if what.isdecimal():
            self.send_response(int(what))
            self.end_headers()
            self.wfile.write(b"It is not well.")
            return
        if what == "slow":
            time.sleep(SLOWNESS)
        self.pass_on(proxy.port, body)

    def pass_on(self, port: int, body: bytes) -> None:
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def __getattr__(self, name: str) -> Any:
        """Answer every method alike."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def passing_on(port: int) -> Iterator[Proxy]:
    """Give a proxy, for as long as the block lasts."""
    with Proxy(port) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.released.set()
            proxy.shutdown()
