"""The server's addresses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minigpt_pipeline import __version__
from minigpt_pipeline.serving.access import Access, Keys
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
RETRY_AFTER_LONG = 5
"""Seconds, where a model is loaded or a server begins."""


NO_MODEL = RequestError(
    503, "no_model", "No model is loaded yet: the server's log says why", RETRY_AFTER_LONG
)
STOPPING = RequestError(503, "stopping", "The server is being stopped", RETRY_AFTER_LONG)

STATUSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    **{
        status: {"description": text}
        for status, text in {
            400: "The model knows no word of a prompt, or has not learnt where reviews end.",
            401: "The server wants a key, in the header `Authorization: Bearer KEY`.",
            408: "The request was not whole in time.",
            413: "The request is larger than the server takes on.",
            429: "There is no room for more texts; `Retry-After` says when to try again.",
            503: "No model is loaded, or the server is being stopped.",
        }.items()
    },
}
"""Of `/v1/generate`, for its documentation."""


def make_app(
    settings: ServingSettings,
    engine: Engine,
    watch: Watch,
    start: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
    keys: Keys | None = None,
) -> FastAPI:
    """Make the application.

    Args:
        settings: What it takes on.
        engine: Writes the texts; it is started with the application.
        watch: Is told of what is answered and refused.
        start: Called when the application begins.
        stop: Called when it ends.
        keys: Let in; null lets everybody in.
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
        redirect_slashes=False,  # a redirection is made of the request's host and query, whatever these are
        lifespan=live,
    )
    service = Service(settings, engine, watch)
    max_bytes = settings.max_prompts * settings.max_prompt_characters * BYTES_OF_A_CHARACTER + FURTHER_BYTES
    app.add_middleware(BodyLimit, max_bytes=max_bytes, max_seconds=settings.max_seconds_to_ask, watch=watch)
    app.add_middleware(Access, settings=settings, keys=keys or Keys(), watch=watch)  # before a body is read
    app.add_exception_handler(RequestError, service.refuse)
    app.add_exception_handler(RequestValidationError, service.refuse_what_is_wrong)
    app.add_exception_handler(HTTPException, service.refuse_address)
    app.post("/v1/generate", summary="Go on with texts", responses=STATUSES)(service.generate)
    app.get("/v1/model", summary="The version in use, and what may be asked of it")(service.describe_model)
    app.get("/health", summary="Whether the process lives")(service.health)
    app.get("/ready", summary="Whether texts are taken")(service.ready)
    app.get("/metrics", summary="Figures for Prometheus")(service.metrics)
    add_page(app)
    return app


class Service:
    """What is done at each address.

    Args:
        settings: What the server takes on.
        engine: Writes the texts.
        watch: Is told of what is answered and refused.
    """

    def __init__(self, settings: ServingSettings, engine: Engine, watch: Watch) -> None:
        self._settings, self._engine, self._watch = settings, engine, watch

    async def generate(self, body: GenerateRequest, request: Request) -> Response:
        """Go on with texts: with all of them at once, or as they are written."""
        body = body.with_defaults(self._settings)
        prompts, seeds = body.list_texts()
        sampling = body.choose_sampling(self._settings)
        check_size(prompts, sampling.max_new_tokens, self._settings)
        answer = Answer(self._engine, self._watch, self._find_model(), prompts, seeds, sampling)
        if body.stream:
            return EventStream(answer)
        try:
            await _until_done_or_gone(_collect(answer), request.receive)
        finally:
            answer.give_up()
        return JSONResponse(answer.describe() | {"texts": answer.describe_texts()})

    async def describe_model(self) -> dict[str, Any]:
        """Describe the version in use."""
        model, settings = self._find_model(), self._settings
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

    async def health(self) -> dict[str, str]:
        """Answer, which is all."""
        return {"status": "ok"}

    async def ready(self) -> Any:
        """Name the version that would answer now."""
        if not self._engine.takes_texts:
            return _answer_with(STOPPING)
        model = self._engine.model
        if model is None:
            return _answer_with(NO_MODEL)
        return {"status": "ready", "model": model.name, "model_version": model.version}

    async def metrics(self) -> Response:
        """Return what Prometheus reads."""
        self._watch.busy_slots.set(self._engine.num_busy)
        self._watch.waiting.set(self._engine.num_waiting)
        content, media_type = self._watch.render()
        return Response(content, media_type=media_type)

    def _find_model(self) -> ServedModel:
        if self._engine.model is None:
            raise NO_MODEL
        return self._engine.model

    async def refuse(self, _: Request, error: Exception) -> Response:
        """Answer with what was raised."""
        assert isinstance(error, RequestError)  # noqa: S101 -- the handler of this class # nosec B101
        self._watch.refused(error.status, error.code)
        return _answer_with(error)

    async def refuse_what_is_wrong(self, _: Request, error: Exception) -> Response:
        """Say which fields are wrong, and why."""
        assert isinstance(error, RequestValidationError)  # noqa: S101 -- as above # nosec B101
        found = [_describe(one) for one in error.errors()]
        told = "; ".join(
            f"{one['field']}: {one['message']}" if one["field"] else one["message"] for one in found
        )
        self._watch.refused(422, "invalid_request")
        return JSONResponse({"error": {"code": "invalid_request", "message": told, "fields": found}}, 422)

    async def refuse_address(self, request: Request, error: Exception) -> Response:
        """Say that nothing is there, or not with this method."""
        assert isinstance(error, HTTPException)  # noqa: S101 -- as above # nosec B101
        code = error.detail.lower().replace(" ", "_")
        self._watch.refused(error.status_code, code)
        told = RequestError(
            error.status_code, code, f"{request.method} {request.scope['path']}: {error.detail}"
        )
        response = _answer_with(told)
        response.headers.update(error.headers or {})
        return response


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
    """Refuses requests that are larger than any that could be answered, without holding them in memory."""

    def __init__(self, app: ASGIApp, max_bytes: int, max_seconds: float, watch: Watch) -> None:
        self._app, self._max_bytes, self._max_seconds, self._watch = app, max_bytes, max_seconds, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receive the whole body, then hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_handed_on = False
        try:
            body = await asyncio.wait_for(self._receive_all(receive), self._max_seconds)
        except RequestError as error:
            await self._refuse(error, scope, receive, send)
            return
        except TimeoutError:
            slow = f"The request was not whole within {self._max_seconds:g} seconds: send it faster"
            await self._refuse(RequestError(408, "too_slow", slow), scope, receive, send)
            return
        if body is None:
            return

        async def hand_on() -> Message:
            nonlocal is_handed_on
            if is_handed_on:
                return await receive()
            is_handed_on = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, hand_on, send)

    async def _receive_all(self, receive: Receive) -> bytes | None:
        """Return the body; null where the client has gone away."""
        body, is_whole = bytearray(), False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            is_whole = not message.get("more_body", False)
            if len(body) > self._max_bytes:
                raise RequestError(
                    413, "too_large", f"The request has more than {self._max_bytes} bytes: shorten it"
                )
        return bytes(body)

    async def _refuse(self, error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
        self._watch.refused(error.status, error.code)
        response = _answer_with(error)
        response.headers["Connection"] = "close"  # what else it says of this request is not waited for
        await response(scope, receive, send)


def _answer_with(error: RequestError) -> Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(error.content, error.status, headers)


def _describe(error: Mapping[str, Any]) -> dict[str, str]:
    """Say what is wrong with which field."""
    if error["type"] == "json_invalid":
        return {"field": "", "message": f"The request is no JSON: {error['ctx']['error']}"}
    name, *places = error["loc"][1:] or [""]
    # Behind a place in the field stand the names of the kinds that it may be of.
    path = [str(name), *(str(place) for place in places if isinstance(place, int))]
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
