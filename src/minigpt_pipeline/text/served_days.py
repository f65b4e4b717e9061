"""The lines about served texts that fall into a window of time."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from minigpt_pipeline.text.served_text import Refusals, ServedText, read_line

TEXT_COLUMNS = {
    "model_version": "str",
    "index": "int64",
    "prompt_tokens": "int64",
    "unknown_tokens": "int64",
    "new_tokens": "int64",
    "finish_reason": "str",
    "waited": "float64",
    "first_token": "float64",
    "seconds": "float64",
    "seq_rep_4": "float64",
    "distinct_2": "float64",
}
"""What is measured of a text, beside `at`."""

REFUSAL_COLUMNS = {"model_version": "str", "status": "int64", "code": "str", "count": "int64"}


@dataclass(frozen=True)
class ServedRecords:
    """What was served and refused in a window.

    Args:
        since: Its beginning; the time of the first record where the window has none, null where there is no record.
        until: Its end.
        texts: `at` and `TEXT_COLUMNS`, one row a text.
        refusals: `at` and `REFUSAL_COLUMNS`; a row stands for `count` requests.
        examples: The newest texts whose words were kept.
        damaged_lines: Lines that can't be read: cut off by a kill or a full disk, or of another format version.
    """

    since: datetime | None
    until: datetime
    texts: pd.DataFrame
    refusals: pd.DataFrame
    examples: list[ServedText]
    damaged_lines: int


@dataclass(frozen=True)
class ServedDays:
    """Days of lines, read when they are asked for.

    Args:
        read_at: When that is: windows end here.
        data: Folder of the data whose models' texts are meant; others are left out.
        days: What opens the lines of a day, by its date in UTC, `2026-11-26`.
    """

    read_at: datetime
    data: str
    days: Mapping[str, Callable[[], Iterator[bytes]]]

    def has_any(self, hours: float | None) -> bool:
        """Return whether anything was served or refused in the last hours; null means ever."""
        return any(record is not None for record in self._read(hours))

    def read(self, hours: float | None, num_examples: int) -> ServedRecords:
        """Return what was served in the last hours.

        Args:
            hours: Of the window; null means all days.
            num_examples: How many texts with their words, at most.
        """
        texts, refusals = defaultdict[str, list[Any]](list), defaultdict[str, list[Any]](list)
        examples = deque[ServedText](maxlen=num_examples)
        damaged_lines = 0
        for record in self._read(hours):
            if record is None:
                damaged_lines += 1
                continue
            rows, names = (
                (texts, TEXT_COLUMNS) if isinstance(record, ServedText) else (refusals, REFUSAL_COLUMNS)
            )
            rows["at"].append(record.at)
            for name in names:
                rows[name].append(getattr(record, name))
            if isinstance(record, ServedText) and record.text is not None:
                examples.append(record)
        frames = [_to_frame(texts, TEXT_COLUMNS), _to_frame(refusals, REFUSAL_COLUMNS)]
        first = min((frame["at"].min().to_pydatetime() for frame in frames if len(frame)), default=None)
        since = self._begin(hours) or first
        return ServedRecords(since, self.read_at, frames[0], frames[1], [*examples], damaged_lines)

    def _begin(self, hours: float | None) -> datetime | None:
        return None if hours is None else self.read_at - timedelta(hours=hours)

    def _read(self, hours: float | None) -> Iterator[ServedText | Refusals | None]:
        """Yield the records of the window, and null for each line that can't be read."""
        begin = self._begin(hours)
        for day in sorted(self.days):
            if begin is not None and day < begin.date().isoformat():
                continue
            for line in self.days[day]():
                record = None
                with suppress(ValueError):
                    record = read_line(line)
                is_outside = begin is not None and record and datetime.fromisoformat(record.at) < begin
                if record is None or (record.data == self.data and not is_outside):
                    yield record


def _to_frame(rows: Mapping[str, list[Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame({name: rows.get(name, []) for name in columns}).astype(dict(columns))
    at = pd.to_datetime(pd.Series(rows.get("at", []), dtype="str"), utc=True, format="ISO8601")
    frame.insert(0, "at", at.dt.as_unit("us"))
    return frame
