"""What a server says of its work: figures for Prometheus, and a line for each text."""

import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    exposition,
)

from minigpt_pipeline.serving.served_log import ServedLog
from minigpt_pipeline.text.served_text import Refusals, ServedText, measure_repetition

__all__ = ["ServedText", "Watch", "measure_repetition"]

MAX_REASONS = 32
"""Pairs of status and code that are counted apart; further ones are `other`."""

OTHER = "other"
CANCELLED, FAILED = "cancelled", "failed"
"""What ends texts beside `length` and `end`; a request that fails is counted where it is refused."""
SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1)


class Watch:
    """Counts what is served, and keeps a line of each text; may be called from any thread.

    The server sets `slots`, `busy_slots` and `waiting` itself.

    Args:
        folder: Of the lines, a file a day; null means that only Prometheus is told.
        keep_days: Files of earlier days are removed; null means none.
        log_texts: Keep prompts and texts in the lines.
    """

    def __init__(
        self, folder: Path | None = None, keep_days: int | None = None, log_texts: bool = False
    ) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"minigpt_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"minigpt_{name}", text, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"minigpt_{name}", text, buckets=buckets, registry=registry)

        self._requests = counter("requests_total", "Requests, by what became of them.", ("status", "code"))
        self._texts = counter("texts_total", "Texts, by what ended them.", ("finish_reason",))
        self._new_tokens = counter("new_tokens_total", "Tokens that were written.")
        self._prompt_tokens = counter("prompt_tokens_total", "Tokens of prompts.")
        self._unknown_tokens = counter("prompt_unknown_tokens_total", "Of these, [UNK].")
        self._queue = histogram("queue_seconds", "Time until a text had a slot.", SECONDS)
        self._first_token = histogram("first_token_seconds", "From the request to the first token.", SECONDS)
        self._seconds = histogram("request_seconds", "From the request to the end of a text.", SECONDS)
        self._repeated = histogram(
            "answer_repeated_4gram_share", "4-grams of an answer that repeat one (seq-rep-4).", SHARES
        )
        self._distinct = histogram(
            "answer_distinct_2gram_share", "Distinct among the 2-grams of an answer.", SHARES
        )
        self.slots = gauge("slots", "Texts that can be written at the same time.")
        self.busy_slots = gauge("busy_slots", "Texts that are being written.")
        self.waiting = gauge("waiting_texts", "Texts that wait for a slot.")
        self._ready = gauge("ready", "1 while a model is loaded and requests are taken.")
        self._loaded_at = gauge("model_loaded_timestamp_seconds", "When the model in use was put in use.")
        self._switches = counter("model_switches_total", "A version took the place of another.")
        self._model = Info("minigpt_model", "The model in use.", registry=registry)
        self._lost = counter("log_lost_lines_total", "Lines about texts that could not be written.")
        self._in_use = ("", "", "")
        self._reasons: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._log = None if folder is None else ServedLog(folder, keep_days, log_texts, self._lost.inc)

    def put_in_use(self, model: str, version: str, data: str) -> None:
        """Tell that a version answers from now on.

        Args:
            model: Name of the registered model.
            version: Its version.
            data: Folder of the data that it was trained on.
        """
        if self._in_use[1] not in {"", version}:
            self._switches.inc()
        self._in_use = model, version, data
        self._model.info({"name": model, "version": version, "data": data})
        self._loaded_at.set_to_current_time()
        self._ready.set(1)

    def take_no_more(self) -> None:
        """Tell that requests are refused from now on."""
        self._ready.set(0)

    def answered(self, served: ServedText) -> None:
        """Count a text that has ended."""
        if served.index == 0 and served.finish_reason != FAILED:
            ended = CANCELLED if served.finish_reason == CANCELLED else "answered"
            self._requests.labels("200", ended).inc()
        self._texts.labels(served.finish_reason).inc()
        self._new_tokens.inc(served.new_tokens)
        self._prompt_tokens.inc(served.prompt_tokens)
        self._unknown_tokens.inc(served.unknown_tokens)
        for histogram, value in self._measured(served):
            if value is not None and math.isfinite(value):
                histogram.observe(value)
        if self._log is not None:
            self._log.put(served)

    def _measured(self, served: ServedText) -> Iterator[tuple[Histogram, float | None]]:
        yield self._queue, served.waited
        yield self._first_token, served.first_token
        yield self._seconds, served.seconds
        yield self._repeated, served.seq_rep_4
        yield self._distinct, served.distinct_2

    def refused(self, status: int, code: str) -> None:
        """Count a request that was refused.

        Args:
            status: Of HTTP.
            code: The reason in a word.
        """
        with self._lock:
            reason = (str(status), code)
            if reason not in self._reasons:
                reason = reason if len(self._reasons) < MAX_REASONS else (OTHER, OTHER)
                self._reasons.add(reason)
        self._requests.labels(*reason).inc()
        if self._log is not None:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            model, version, data = self._in_use
            self._log.put(
                Refusals(
                    at=at, status=status, code=code, count=1, model=model, model_version=version, data=data
                )
            )

    def render(self) -> tuple[bytes, str]:
        """Return what Prometheus reads, and its content type."""
        return exposition.generate_latest(self._registry), exposition.CONTENT_TYPE_LATEST

    def close(self) -> None:
        """Write what is not written yet."""
        if self._log is not None:
            self._log.close()
