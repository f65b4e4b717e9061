"""Clients of the server that cost little: they share its cores, and what they take is not the server's."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

END_OF_EVENT = b"\n\n"
HEAD = (
    "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)


@dataclass
class Load:
    """What clients have seen.

    Args:
        first_tokens: Seconds from each request to its first token.
        text_seconds: From each request to its whole text.
        texts: What requests were answered with.
        statuses: Of answers that are no text, or what went wrong, with how often.
        seconds: From the first request to the last answer.
    """

    first_tokens: list[float] = field(default_factory=list)
    text_seconds: list[float] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Of all clients together."""
        return float(sum(text["new_tokens"] for text in self.texts) / self.seconds)

    def count(self, status: str) -> None:
        """Count what was no text."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of them lies; not a number where there are none."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


def put_load(port: int, clients: int, seconds: float, prompts: Sequence[str], **fields: Any) -> Load:
    """Let clients ask for streams, each for another as soon as it has one.

    Args:
        port: Of the server, on this machine.
        clients: How many ask at the same time.
        seconds: For which they begin requests.
        prompts: The prompts, in turn.
        fields: Further ones of every request.
    """
    load = Load()

    async def ask() -> None:
        started = time.perf_counter()
        until = started + seconds
        await asyncio.gather(
            *(_ask_on(port, number, until, prompts, fields, load) for number in range(clients))
        )
        load.seconds = time.perf_counter() - started

    asyncio.run(ask())
    return load


async def _ask_on(
    port: int, client: int, until: float, prompts: Sequence[str], fields: dict[str, Any], load: Load
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        seed = 1_000_000 * client + number
        number += 1
        request = {"prompt": prompts[seed % len(prompts)], "seed": seed, "stream": True} | fields
        body = json.dumps(request).encode()
        started = time.perf_counter()
        writer.write(HEAD.format(length=len(body)).encode() + body)
        first, answer = await _read(reader)
        if first is None:
            load.count(answer[:80].decode(errors="replace"))
            await asyncio.sleep(0.1)
            continue
        load.first_tokens.append(first - started)
        events = answer.split(END_OF_EVENT)
        name, data = events[-2].split(b"\n", 1)
        if name != b"event: done":
            load.count(data[:80].decode())
            continue
        load.text_seconds.append(time.perf_counter() - started)
        load.texts += json.loads(data.removeprefix(b"data: "))["texts"]
    writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[float | None, bytes]:
    """Return when the first token came, null where none does, and the whole answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return None, head.split(b"\r\n")[0] + b" " + await reader.readexactly(length)
    first, answer = None, b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        answer += (await reader.readexactly(size + 2))[:-2]
        if first is None and b"event: token" in answer:
            first = time.perf_counter()
    await reader.readexactly(2)
    return first or time.perf_counter(), answer
