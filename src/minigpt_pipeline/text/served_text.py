"""What is kept of a text that was served: a line of JSON, which has nothing of its words unless that is asked for."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, TypedDict

from pydantic import AfterValidator, Field, TypeAdapter

FORMAT_VERSION: Final = 1
"""Of a line."""

WORDS = ("prompt", "text")
"""Fields that hold what people wrote and read."""


MAX_LINE_SIZE = 1 << 24
"""Bytes: a longer line is none of ours."""


def _check_time(at: str) -> str:
    time = datetime.fromisoformat(at)
    if time.tzinfo is None:
        raise ValueError("the time has no zone")
    if time.year < _FIRST_YEAR:
        raise ValueError(f"the time is before {_FIRST_YEAR}")
    return at


_FIRST_YEAR = 2000
Count = Annotated[int, Field(ge=0, lt=2**63)]
Figure = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Time = Annotated[str, AfterValidator(_check_time)]


@dataclass(frozen=True, kw_only=True)
class ServedText:
    """A text that was written for a request.

    Args:
        at: When it ended, in UTC, as `datetime.isoformat` writes it.
        request_id: Of the request.
        index: Its number in the request, from 0.
        model: Name of the registered model.
        model_version: Of the version that has written it.
        data: Folder of the data that this version was trained on.
        prompt_tokens: Tokens of the prompt.
        unknown_tokens: Of these, the `[UNK]`.
        new_tokens: Tokens that were written.
        finish_reason: `length`, `end`, `cancelled`, or `failed`: then its request is among the refused.
        waited: Seconds until it had a slot.
        first_token: Seconds from the request to its first token; null where it has none.
        seconds: From the request to its end.
        seq_rep_4: Share of its 4-grams that repeat one; null where it has none. See `measure_repetition`.
        distinct_2: Distinct 2-grams / 2-grams; null where it has none.
        seed: That its tokens were drawn with.
        sampling: How they were chosen.
        prompt: The prompt; kept only where the server is told to.
        text: What was written; the same.
    """

    at: Time
    request_id: str
    index: Count
    model: str
    model_version: str
    data: str
    prompt_tokens: Count
    unknown_tokens: Count
    new_tokens: Count
    finish_reason: str
    waited: Figure
    first_token: Figure | None
    seconds: Figure
    seq_rep_4: Figure | None
    distinct_2: Figure | None
    seed: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    text: str | None = None
    kind: Literal["answered"] = "answered"
    format_version: Literal[1] = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """Requests that were refused for the same reason.

    Args:
        at: When the last of them was, in UTC.
        status: Of HTTP.
        code: The reason in a word.
        count: How many they were.
        model: Name of the registered model.
        model_version: Of the version that was in use; empty where none was.
        data: Folder of the data that this version was trained on; empty where none was in use.
    """

    at: Time
    status: int
    code: str
    count: Count
    model: str
    model_version: str
    data: str
    kind: Literal["refused"] = "refused"
    format_version: Literal[1] = FORMAT_VERSION


_LINE: TypeAdapter[ServedText | Refusals] = TypeAdapter(
    Annotated[ServedText | Refusals, Field(discriminator="kind")]
)


class Repetition(TypedDict):
    """How much one text repeats itself."""

    seq_rep_4: float | None
    distinct_2: float | None


def measure_repetition(token_ids: Sequence[int]) -> Repetition:
    """Measure one text as `text_quality` does, in microseconds; null where it is too short."""
    figures = Repetition(seq_rep_4=None, distinct_2=None)
    if (num_pairs := len(token_ids) - 1) > 0:
        figures["distinct_2"] = len(set(pairwise(token_ids))) / num_pairs
    if (num_ngrams := len(token_ids) - 3) > 0:
        ngrams = zip(token_ids, token_ids[1:], token_ids[2:], token_ids[3:], strict=False)
        figures["seq_rep_4"] = 1 - len(set(ngrams)) / num_ngrams
    return figures


def write_line(record: ServedText | Refusals, with_words: bool = False) -> bytes:
    """Return the line of a record.

    Args:
        record: What was served, or refused.
        with_words: Keep prompt and text.
    """
    fields = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in vars(record).items()
        if name not in WORDS or (with_words and value is not None)
    }
    # Half of a surrogate pair, which JSON of a client can hold, is no text.
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read_line(line: bytes) -> ServedText | Refusals:
    """Return what a line holds.

    Raises:
        ValueError: If it was cut off, is of another format version, or no line of ours.
    """
    return _LINE.validate_json(line)
