"""The server's addresses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minigpt_pipeline import __version__
from minigpt_pipeline.serving.answers import Answer, write_events
from minigpt_pipeline.serving.engine import Engine
from minigpt_pipeline.serving.page import add_page
from minigpt_pipeline.serving.requests import GenerateRequest, RequestError, check_size
from minigpt_pipeline.serving.served_model import ServedModel
from minigpt_pipeline.serving.settings import ServingSettings
from minigpt_pipeline.serving.watch import Watch

BYTES_OF_A_CHARACTER = 12
"""In JSON: an escaped pair of surrogates."""
FURTHER_BYTES = 65536
"""Of a request, for all but its prompts."""


def make_app(
    settings: ServingSettings,
    engine: Engine,
    watch: Watch,
    start: Callable[[], None],
    stop: Callable[[], None],
) -> FastAPI:
    """Make the application.

    Args:
        settings: What it takes on.
        engine: Writes the texts; it is started with the application.
        watch: Is told of what is answered and refused.
        start: Called when the application begins.
        stop: Called when it ends.
    """

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        engine.start(asyncio.get_running_loop())
        start()
        yield
        stop()
        await asyncio.to_thread(engine.end)

    app = FastAPI(
        title="MiniGPT Pipeline",
        version=__version__,
        summary="The champion of the registered model goes on with a text.",
        docs_url=None,  # its page would load its parts from elsewhere
        redoc_url=None,
        lifespan=live,
    )
    max_bytes = settings.max_prompts * settings.max_prompt_characters * BYTES_OF_A_CHARACTER + FURTHER_BYTES
    app.add_middleware(BodyLimit, max_bytes=max_bytes, watch=watch)

    def find_model() -> ServedModel:
        model = engine.model
        if model is None:
            raise RequestError(503, "no_model", "No model is loaded yet: the server's log says why", 5)
        return model

    @app.exception_handler(RequestError)
    async def tell(_: Request, error: RequestError) -> Response:
        watch.refused(error.status, error.code)
        return _refuse(error)

    @app.exception_handler(RequestValidationError)
    async def tell_what_is_wrong(_: Request, error: RequestValidationError) -> Response:
        found = [_describe(one) for one in error.errors()]
        message = "; ".join(
            f"{one['field']}: {one['message']}" if one["field"] else one["message"] for one in found
        )
        watch.refused(422, "invalid_request")
        content = {"error": {"code": "invalid_request", "message": message, "fields": found}}
        return JSONResponse(content, 422)

    @app.post(
        "/v1/generate",
        summary="Go on with texts",
        responses={
            200: {"content": {"text/event-stream": {}}},
            **{
                status: {"description": text}
                for status, text in {
                    400: "The model knows no word of a prompt, or has not learnt where reviews end.",
                    413: "The request is larger than the server takes on.",
                    429: "There is no room for more texts; `Retry-After` says when to try again.",
                    503: "No model is loaded, or the server is being stopped.",
                }.items()
            },
        },
    )
    async def generate(body: GenerateRequest, request: Request) -> Response:
        body = body.with_defaults(settings)
        prompts, seeds = body.list_texts()
        sampling = body.choose_sampling(settings)
        check_size(prompts, sampling.max_new_tokens, settings)
        answer = Answer(engine, watch, find_model(), prompts, seeds, sampling)
        if body.stream:
            return EventStream(answer)
        try:
            await _until_done_or_gone(_collect(answer), request.receive)
        finally:
            answer.give_up()
        return JSONResponse(answer.describe() | {"texts": answer.describe_texts()})

    @app.get("/v1/model", summary="The version in use, and what may be asked of it")
    async def describe_model() -> dict[str, Any]:
        model = find_model()
        return {
            "model": model.name,
            "model_version": model.version,
            "vocabulary_size": len(model.tokenizer),
            "context": model.context,
            "has_learnt_ends": model.has_learnt_ends,
            "defaults": settings.sampling.model_dump(exclude={"stop_token"}) | {"seed": settings.seed},
            "presets": settings.presets,
            "limits": settings.model_dump(include={"max_prompts", "max_prompt_characters", "max_new_tokens"}),
        }

    @app.get("/health", summary="Whether the process lives")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", summary="Whether texts are taken")
    async def ready() -> dict[str, str]:
        if not engine.takes_texts:
            raise RequestError(503, "stopping", "The server is being stopped", 5)
        model = find_model()
        return {"status": "ready", "model": model.name, "model_version": model.version}

    @app.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        watch.busy_slots.set(engine.num_busy)
        watch.waiting.set(engine.num_waiting)
        content, media_type = watch.render()
        return Response(content, media_type=media_type)

    add_page(app)
    return app


class EventStream(Response):
    """Sends an answer piece by piece; a client that goes away ends it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        del self.headers["content-length"]
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def stream() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for events in write_events(self._answer):
                await send({"type": "http.response.body", "body": events, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        try:
            await _until_done_or_gone(stream(), receive)
        finally:
            self._answer.give_up()


class BodyLimit:
    """Refuses requests that are larger than any that could be answered, before they are read."""

    def __init__(self, app: ASGIApp, max_bytes: int, watch: Watch) -> None:
        self._app, self._max_bytes, self._watch = app, max_bytes, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        num_bytes = 0

        async def receive_within_limit() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes:
                raise RequestError(
                    413, "too_large", f"The request has more than {self._max_bytes} bytes: shorten it"
                )
            return message

        try:
            await self._app(scope, receive_within_limit, send)
        except RequestError as error:
            self._watch.refused(error.status, error.code)
            await _refuse(error)(scope, receive, send)


def _refuse(error: RequestError) -> Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(error.content, error.status, headers)


def _describe(error: dict[str, Any]) -> dict[str, str]:
    """Say what is wrong with which field."""
    path = [
        str(part)
        for part in error["loc"][1:]
        if not str(part).startswith(("constrained", "list[", "function-"))
    ]
    return {"field": ".".join(path), "message": error["msg"].removeprefix("Value error, ")}


async def _collect(answer: Answer) -> None:
    async for _ in answer.follow():
        pass


async def _until_done_or_gone(work: Awaitable[None], receive: Receive) -> None:
    """Do some work, but for nobody: it ends where the client goes away."""

    async def wait_for_goodbye() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(wait_for_goodbye())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, waiting):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
