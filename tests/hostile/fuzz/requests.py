"""Requests to the server, through its application, with an engine that answers at once."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from tests.hostile.fuzz.target import Target, UnexplainedError

PROJECT = Path(__file__).parents[3]
STATUSES = {200, 400, 401, 403, 404, 405, 408, 413, 421, 422, 429, 503}
"""Those that docs/serving.md names."""
MAX_ANSWER_SIZE = 1 << 22
BETWEEN_CHUNKS = b"\n\xff\n"


def make_seeds() -> Iterator[bytes]:
    """Yield requests as they stand in HTTP."""
    bodies: list[dict[str, Any]] = [
        {"prompt": "the best scene", "max_new_tokens": 3, "seed": 1, "top_k": 5, "top_p": 0.9, "min_p": 0.1},
        {
            "prompt": ["the", "film"],
            "seed": [1, 2],
            "stream": True,
            "temperature": 0,
            "no_repeat_ngram_size": 2,
        },
        {"prompt": "the \ud800 film", "stop_at_end_of_review": None, "repetition_penalty": 1.2},
        {"prompt": "a." * 20, "unknown": 1},
    ]
    for body in bodies:
        content = json.dumps(body).encode()
        yield b"POST /v1/generate\nhost: localhost\ncontent-type: application/json\n\n" + content
    yield b"POST /v1/generate\nhost: [\ncontent-type: text/plain; charset=x\n\n{" + BETWEEN_CHUNKS + b"}"
    for path in (
        "/",
        "/health",
        "/ready",
        "/metrics",
        "/v1/model",
        "/openapi.json",
        "/v1/model/",
        "/x%ff%00",
        "//a/?b=%d8",
    ):
        yield f"GET {path}\nhost: localhost\naccept-encoding: gzip\n\n".encode()


class InstantEngine:
    """Takes every text, and has written it."""

    takes_texts, num_busy, num_waiting = True, 0, 0

    def __init__(self, model: Any) -> None:
        self.model = model

    def take(self, model: Any, jobs: Sequence[Any]) -> None:
        from minigpt_pipeline.serving.engine import Progress

        for job in jobs:
            job.news.put_nowait(Progress(job, [2, 3], True))

    def cancel(self, jobs: Sequence[Any]) -> None:
        pass

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        pass

    def end(self) -> None:
        pass


def make_application(**changes: Any) -> tuple[Any, Any]:
    """Return the application of a server, and its settings, some of which are other than those of `conf/base`."""
    from minigpt_pipeline.serving.app import make_app
    from minigpt_pipeline.serving.served_model import ServedModel
    from minigpt_pipeline.serving.settings import read_settings
    from minigpt_pipeline.serving.watch import Watch
    from minigpt_pipeline.text.vocabulary import Vocabulary
    from minigpt_pipeline.text.word_tokenizer import WordTokenizer

    class Model(ServedModel):
        def __init__(self) -> None:
            self.name, self.version, self.data, self.context, self.has_learnt_ends = (
                "minigpt",
                "1",
                "d",
                24,
                True,
            )
            self.tokenizer = WordTokenizer(
                Vocabulary(("", "[UNK]", *["the", "best", "scene", "of", "this", "film", "a", "."]))
            )

        def begin(self, prompt_ids: list[int], sampling: Any, seed: int) -> Any:
            return SimpleNamespace(seed=seed, has_ended=True, ended_itself=False)

    settings = read_settings(PROJECT, changes)
    return make_app(settings, InstantEngine(Model()), Watch()), settings  # type: ignore[arg-type]


def parse(content: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return the scope of a request, and the pieces of its body."""
    head, _, body = content.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    headers = [
        (name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)
    ]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
        "method": method.decode("latin-1"), "path": unquote(path.decode("latin-1")), "raw_path": path,
        "query_string": query, "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    return scope, body.split(BETWEEN_CHUNKS)


async def answer(application: Any, content: bytes) -> tuple[int, bytes]:
    """Return the status and the body of what is answered; all that the application raises is raised."""
    scope, chunks = parse(content)
    sent: list[dict[str, Any]] = []
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if chunks:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    status = next(message["status"] for message in sent if message["type"] == "http.response.start")
    return status, b"".join(message.get("body", b"") for message in sent)


def prepare() -> Callable[[bytes], None]:
    """Return what sends an input as a request."""
    application, _ = make_application()
    loop = asyncio.new_event_loop()

    def take(content: bytes) -> None:
        status, body = loop.run_until_complete(answer(application, content))
        if status not in STATUSES:
            raise UnexplainedError(f"Status {status}: {body[:500]!r}")
        if len(body) > MAX_ANSWER_SIZE:
            raise UnexplainedError(f"An answer of {len(body)} bytes")
        if status >= 400 and not json.loads(body or b'{"error": {"message": "HEAD"}}')["error"]["message"]:
            raise UnexplainedError(f"Status {status} says nothing: {body!r}")

    return take


TARGET = Target(make_seeds, prepare, max_input_size=16384, max_megabytes=2500)
