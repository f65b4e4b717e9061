"""From the tokens of a request's texts to what its client reads, all at once or piece by piece."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from minigpt_pipeline.parameters import SamplingParameters
from minigpt_pipeline.serving.engine import Engine, Job, NotTakenError, Progress, TooManyTextsError
from minigpt_pipeline.serving.requests import RequestError
from minigpt_pipeline.serving.served_model import ServedModel
from minigpt_pipeline.serving.watch import FAILED, ServedText, Watch, measure_repetition
from minigpt_pipeline.text.detokenization import to_readable_text
from minigpt_pipeline.text.standardization import to_words

HALF_A_CHARACTER = "\ufffd"
RETRY_AFTER = 1
"""Seconds."""


class _Growing:
    """A text of the answer."""

    def __init__(self, model: ServedModel, job: Job, prompt: str, prompt_ids: Sequence[int]) -> None:
        self.model, self.job, self.prompt = model, job, prompt
        self.num_prompt_tokens = len(prompt_ids)
        self.num_unknown = sum(token_id == model.tokenizer.unknown_id for token_id in prompt_ids)
        self.token_ids: list[int] = []
        self.text = prompt
        self.first_token: float | None = None
        self.has_ended = False

    def grow(self, progress: Progress) -> str:
        """Take news, and return what is to be told: of a character of several tokens nothing before it is whole."""
        if self.first_token is None and progress.token_ids:
            self.first_token = time.monotonic() - self.job.asked
        self.token_ids += [token_id for token_id in progress.token_ids if token_id]
        self.has_ended = progress.has_ended
        known = self.text
        whole = self.model.tokenizer.write_on(self.prompt, self.token_ids)
        self.text = whole if self.has_ended else whole.rstrip(HALF_A_CHARACTER)
        return self.text[len(known) :]

    @property
    def readable_text(self) -> str:
        return to_readable_text(to_words(self.text), self.model.tokenizer.casing)

    @property
    def finish_reason(self) -> str:
        if not self.job.text.has_ended:
            return "cancelled"
        return "end" if self.job.text.ended_itself else "length"

    def describe(self) -> dict[str, Any]:
        return {
            "index": self.job.index,
            "prompt": self.prompt,
            "text": self.text,
            "readable_text": self.readable_text,
            "prompt_tokens": self.num_prompt_tokens,
            "new_tokens": len(self.token_ids),
            "seed": self.job.text.seed,
            "finish_reason": self.finish_reason,
        }


class Answer:
    """The texts of one request, all written by one version.

    Args:
        engine: Writes them.
        watch: Is told of each text when it has ended, or was given up.
        model: Which begins and ends them.
        prompts: Of each text.
        seeds: Of each text.
        sampling: How their words are chosen.

    Raises:
        RequestError: If they can't be written, or not now.
    """

    def __init__(
        self,
        engine: Engine,
        watch: Watch,
        model: ServedModel,
        prompts: list[str],
        seeds: list[int],
        sampling: SamplingParameters,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._engine, self._watch, self._model, self._sampling = engine, watch, model, sampling
        self._news: asyncio.Queue[Progress] = asyncio.Queue()
        self._has_failed = False
        try:
            prompt_ids = model.encode(prompts)
            jobs = [
                Job(index, model.begin(ids, sampling, seed), self._news)
                for index, (ids, seed) in enumerate(zip(prompt_ids, seeds, strict=True))
            ]
        except ValueError as error:
            raise RequestError(400, "unknown_words", str(error)) from error
        self._texts = [
            _Growing(model, job, prompt, ids)
            for job, prompt, ids in zip(jobs, prompts, prompt_ids, strict=True)
        ]
        try:
            engine.take(model, jobs)
        except TooManyTextsError as error:
            raise RequestError(
                429,
                "overloaded",
                f"The server has no room for more texts now ({error}): try again",
                RETRY_AFTER,
            ) from error
        except NotTakenError as error:
            raise RequestError(503, "stopping", f"No text is begun any more: {error}", RETRY_AFTER) from error

    def describe(self) -> dict[str, Any]:
        """Say who answers, and with which parameters."""
        return {
            "id": self.id,
            "model": self._model.name,
            "model_version": self._model.version,
            "parameters": self._sampling.model_dump(exclude={"stop_token"}),
        }

    def describe_texts(self) -> list[dict[str, Any]]:
        """Return the texts, as far as they are written."""
        return [text.describe() for text in self._texts]

    async def follow(self) -> AsyncIterator[list[tuple[_Growing, str]]]:
        """Yield what texts grow by, until all have ended.

        Raises:
            RequestError: If one is given up by the server.
        """
        while not all(text.has_ended for text in self._texts):
            news = [await self._news.get()]
            while not self._news.empty():
                news.append(self._news.get_nowait())
            grown = []
            for progress in news:
                if progress.error is not None:
                    self._has_failed = True
                    raise _tell_error(progress.error)
                text = self._texts[progress.job.index]
                grown.append((text, text.grow(progress)))
                if text.has_ended:
                    self._report(text)
            yield grown

    def count(self, error: RequestError) -> None:
        """Count the request as refused, where its status of HTTP says that it was not."""
        self._watch.refused(error.status, error.code)

    def give_up(self) -> None:
        """Stop what is not written to its end; nobody waits for it any more."""
        left = [text for text in self._texts if not text.has_ended]
        self._engine.cancel([text.job for text in left])
        for text in left:
            text.has_ended = True
            self._report(text)

    def _report(self, text: _Growing) -> None:
        job, now = text.job, time.monotonic()
        self._watch.answered(
            ServedText(
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                request_id=self.id,
                index=job.index,
                model=self._model.name,
                model_version=self._model.version,
                data=self._model.data,
                prompt_tokens=text.num_prompt_tokens,
                unknown_tokens=text.num_unknown,
                new_tokens=len(text.token_ids),
                finish_reason=FAILED if self._has_failed else text.finish_reason,
                waited=(job.begun or now) - job.asked,
                first_token=text.first_token,
                seconds=now - job.asked,
                **measure_repetition(text.token_ids),
                seed=job.text.seed,
                sampling=self._sampling.model_dump(exclude={"stop_token"}),
                prompt=text.prompt,
                text=text.text,
            )
        )


def _tell_error(error: Exception) -> RequestError:
    if isinstance(error, NotTakenError):
        return RequestError(503, "stopping", f"The text was given up: {error}", RETRY_AFTER)
    return RequestError(500, "failed", "The server could not go on with the text; its log says why")


async def write_events(answer: Answer) -> AsyncIterator[bytes]:
    """Yield an answer as server-sent events."""
    try:
        yield _write_event("start", answer.describe())
        async for grown in answer.follow():
            yield b"".join(
                _write_event(
                    "token",
                    {
                        "index": text.job.index,
                        "text": added,
                        "readable_text": text.readable_text,
                        "new_tokens": len(text.token_ids),
                    },
                )
                for text, added in grown
                if added
            )
        yield _write_event("done", {"texts": answer.describe_texts()})
    except RequestError as error:
        answer.count(error)
        yield _write_event("error", error.content)
    finally:
        answer.give_up()


def _write_event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
