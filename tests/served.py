"""Served texts, made up."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from minigpt_pipeline.text.served_days import ServedDays
from minigpt_pipeline.text.served_text import Refusals, ServedText, write_line

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
AT = "2026-11-26T11:30:00.000+00:00"


def make_text(**changes: Any) -> ServedText:
    text = {
        "at": AT, "request_id": "a1", "index": 0, "model": "minigpt", "model_version": "3", "data": "data",
        "prompt_tokens": 4, "unknown_tokens": 1, "new_tokens": 40, "finish_reason": "length", "waited": 0.25,
        "first_token": 0.5, "seconds": 2.25, "seq_rep_4": 0.1, "distinct_2": 0.9, "seed": 42,
        "sampling": {"temperature": 1.0, "top_k": None},
    }  # fmt: skip
    return ServedText(**text | changes)


def make_refusals(**changes: Any) -> Refusals:
    refusals = {
        "at": AT,
        "status": 429,
        "code": "overloaded",
        "count": 1,
        "model": "minigpt",
        "model_version": "3",
    }
    return Refusals(**refusals | {"data": "data"} | changes)


def make_days(
    records: Iterable[ServedText | Refusals], with_words: bool = False, data: str = "data"
) -> ServedDays:
    """Days as a server writes them."""
    days: dict[str, list[bytes]] = {}
    for record in records:
        days.setdefault(record.at[:10], []).append(write_line(record, with_words))
    return ServedDays(NOW, data, {day: lines.__iter__ for day, lines in days.items()})
