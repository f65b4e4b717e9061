"""A folder with a file for each day, in UTC, and in it a line for each text that was served."""

import logging
import os
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

from minigpt_pipeline.text.served_text import Refusals, ServedText, write_line

logger = logging.getLogger(__name__)

MAX_WAITING = 20_000
"""Records that wait for the disk; further ones are lost."""

REFUSALS_EVERY = 10.0
"""Seconds: a flood of refused requests is one line for each reason in so long a time."""

CLOSE_SECONDS = 10.0
"""That the last records may take."""

DAY_FILE = re.compile(r"\d{4}-\d{2}-\d{2}\.jsonl")


class ServedLog:
    """Takes records at once, and writes them in a thread of its own: no request waits for a disk, or fails with one.

    Each line is one `write` to a file opened to append, so that several servers may share a folder, and a kill leaves
    one cut line at most. What can't be written is lost, counted, and told once.

    Args:
        folder: Of the files; made where it is missing.
        keep_days: Files of earlier days are removed; null means none.
        log_texts: Keep prompts and texts.
        lose: Is called for each record that is lost.
    """

    def __init__(
        self, folder: Path, keep_days: int | None, log_texts: bool, lose: Callable[[], None]
    ) -> None:
        self._folder, self._keep_days, self._log_texts, self._lose = folder, keep_days, log_texts, lose
        self._waiting: queue.Queue[ServedText | Refusals | None] = queue.Queue(MAX_WAITING)
        self._refusals: Counter[Refusals] = Counter()
        self._file: FileIO | None = None
        self._day, self._is_cut, self._has_told = "", False, False
        self._thread = threading.Thread(target=self._work, name="served-log", daemon=True)
        self._thread.start()

    def put(self, record: ServedText | Refusals) -> None:
        """Take a record."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._lose()

    def close(self) -> None:
        """Write what waits, and close the file; a second call does nothing."""
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        is_open, written_at = True, time.monotonic()
        while is_open:
            try:
                record = self._waiting.get(timeout=REFUSALS_EVERY)
            except queue.Empty:
                pass
            else:
                is_open = record is not None
                if isinstance(record, ServedText):
                    self._write(record)
                elif record is not None:
                    self._refusals[replace(record, at="", count=0)] += record.count
            if not is_open or time.monotonic() - written_at >= REFUSALS_EVERY:
                self._write_refusals()
                written_at = time.monotonic()
        if self._file is not None:
            self._file.close()

    def _write_refusals(self) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        for refusals, count in self._refusals.items():
            self._write(replace(refusals, at=at, count=count))
        self._refusals.clear()

    def _write(self, record: ServedText | Refusals) -> None:
        try:
            line = write_line(record, self._log_texts)
            file = self._open(record.at[: len("2026-11-26")])
            # Behind a line that a full disk or a kill has cut, a new one begins.
            written = file.write(b"\n" * self._is_cut + line)
            self._is_cut = written < self._is_cut + len(line)
            if self._is_cut:
                raise OSError(f"only {written} bytes of a line were written: is the disk full?")  # noqa: TRY301
        except (OSError, ValueError, TypeError) as error:
            self._lose()
            if not self._has_told:
                self._has_told = True
                logger.warning(
                    "What is served can't be logged in %s (%s): answers go out all the same, and each lost line counts "
                    "in minigpt_log_lost_lines_total; make room, or let the server write there",
                    self._folder,
                    error,
                )

    def _open(self, day: str) -> FileIO:
        """Return the file of a day; a new one where somebody has removed it."""
        if self._file is not None and self._day == day and os.fstat(self._file.fileno()).st_nlink:
            return self._file
        if self._file is not None:
            self._file.close()
            self._file = None
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{day}.jsonl"
        self._file = path.open("ab+", buffering=0)
        self._day = day
        self._is_cut = False
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            self._is_cut = self._file.read(1) != b"\n"
        self._remove_old(day)
        return self._file

    def _remove_old(self, day: str) -> None:
        if self._keep_days is None:
            return
        first = (datetime.fromisoformat(day) - timedelta(days=self._keep_days - 1)).date().isoformat()
        for path in self._folder.iterdir():
            if DAY_FILE.fullmatch(path.name) and path.stem < first:
                path.unlink(missing_ok=True)
