"""Connections on which nothing is asked, or too slowly, are ended: others need their places."""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

MAX_HEAD_SIZE = 65536
"""Bytes of the lines before the body of a request; browsers send some kilobytes."""


def make_protocol(max_seconds_to_ask: float) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, which itself waits for ever for the first request of a connection.

    Args:
        max_seconds_to_ask: Until the head of a request is whole; up to twice as many where another one came before it.
    """

    class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._head_size = 0
            self._awaited_behind: tuple[Any, ...] = (self.cycle,)
            self._look_later()

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._head_size = self._head_size + len(data) if self._awaits_head() else 0
            if self._head_size > MAX_HEAD_SIZE:
                self.transport.close()

        def _awaits_head(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _look_later(self) -> None:
            self._timer = self.loop.call_later(max_seconds_to_ask, self._look)

        def _look(self) -> None:
            """End the connection if it awaits the same head as at the last look."""
            if not self._awaits_head():
                self._awaited_behind = ()
            elif self._awaited_behind == (self.cycle,):
                self.transport.close()
                return
            else:
                self._awaited_behind = (self.cycle,)
            self._look_later()

    return Protocol
