"""The thread that writes the texts of all requests, side by side in the slots of their models."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from minigpt_pipeline.model.slots import Slots, WrittenText
from minigpt_pipeline.serving.served_model import ServedModel

logger = logging.getLogger(__name__)

SECONDS_OF_A_CALL = 0.015
"""Of the compiled loop, as far as it can be foreseen, so that who comes meanwhile waits no longer."""
FURTHER_SECONDS_OF_A_CALL = 0.0004
"""For each text: to begin a call takes longer for many."""
MOST_TURNS = 16
FEW_TEXTS = 8
"""With more, one or another has its first word in nearly every turn: a call that ended there would be its beginning."""
SECONDS_BETWEEN_NEWS = 0.0015
"""Of a text, for each text that is written: with many, to send each word alone would cost more than to write it."""


class TooManyTextsError(RuntimeError):
    """There are neither slots nor places to wait for so many texts."""


class NotTakenError(RuntimeError):
    """The engine takes no texts: it has no model, or is stopped."""


class Progress(NamedTuple):
    """News of a text.

    Args:
        job: Which.
        token_ids: Drawn since the last news, padding among them where that has ended it.
        has_ended: Whether these are the last.
        error: Why it was given up.
    """

    job: "Job"
    token_ids: Sequence[int]
    has_ended: bool
    error: Exception | None = None


@dataclass(eq=False)
class Job:
    """A text that a request waits for.

    Args:
        index: Its number in the request, from 0.
        text: What is written.
        news: Where its progress is put, by the event loop.
    """

    index: int
    text: WrittenText
    news: "asyncio.Queue[Progress]"
    asked: float = field(default_factory=time.monotonic)
    begun: float | None = None
    """When it got a slot, on the monotonic clock."""
    is_cancelled: bool = False
    untold: list[int] = field(default_factory=list)
    """Tokens that were drawn since the last news."""
    told: float = 0.0
    """When these were, on the monotonic clock."""


@dataclass(eq=False)
class Lane:
    """A model and what it writes."""

    model: ServedModel
    slots: Slots
    jobs: dict[WrittenText, Job] = field(default_factory=dict)
    coming: list[WrittenText] = field(default_factory=list)
    """Of these, those that are not in their slots yet."""
    seconds_per_turn: float = 0.005

    def choose_turns(self) -> int:
        """Return how many words each text may read before others are looked at."""
        seconds = SECONDS_OF_A_CALL + FURTHER_SECONDS_OF_A_CALL * len(self.jobs)
        return int(min(max(seconds / self.seconds_per_turn, 1), MOST_TURNS))


class Engine:
    """Writes texts; its methods may be called from any thread.

    Args:
        num_slots: Texts that are written side by side, at most.
        max_waiting: Texts that wait for a slot, at most.
    """

    def __init__(self, num_slots: int, max_waiting: int) -> None:
        self.num_slots, self.max_waiting = num_slots, max_waiting
        self._changed = threading.Condition()
        self._waiting: deque[tuple[ServedModel, Job]] = deque()
        self._lanes: dict[ServedModel, Lane] = {}
        self._model: ServedModel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refuses = self._is_over = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # === Called by the server ===

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; news are handed to an event loop."""
        self._loop = loop
        self._thread.start()

    @property
    def model(self) -> ServedModel | None:
        """What begins texts now; null before there is any."""
        return self._model

    @property
    def takes_texts(self) -> bool:
        """Whether it has not been told to refuse them."""
        return not self._refuses

    @property
    def num_busy(self) -> int:
        """Texts that are being written."""
        return sum(len(lane.jobs) for lane in [*self._lanes.values()])

    @property
    def num_waiting(self) -> int:
        """Texts that wait for a slot."""
        return len(self._waiting)

    def use(self, model: ServedModel) -> None:
        """Let a model begin all texts from now on; another one ends those that it has begun."""
        self._model = model

    def take(self, model: ServedModel, jobs: Sequence[Job]) -> None:
        """Take texts, all or none.

        Raises:
            NotTakenError: If the engine is stopped.
            TooManyTextsError: If there is no room for them.
        """
        with self._changed:
            if self._refuses:
                raise NotTakenError("the server is being stopped")
            num_texts = self.num_busy + len(self._waiting)
            if num_texts + len(jobs) > self.num_slots + self.max_waiting:
                raise TooManyTextsError(f"{num_texts} texts are being written or wait")
            self._waiting += ((model, job) for job in jobs)
            self._changed.notify()

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Give texts up that nobody waits for any more."""
        for job in jobs:
            job.is_cancelled = True
        with self._changed:  # nobody else shall be refused for their sake
            self._waiting = deque(each for each in self._waiting if not each[1].is_cancelled)

    def refuse(self) -> None:
        """Take no more texts; those that were taken are written to their ends."""
        with self._changed:
            self._refuses = True

    def end(self) -> None:
        """Give up what is being written, and end the thread."""
        with self._changed:
            self._refuses = self._is_over = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    # === The thread ===

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._lanes or self._is_over):
                    self._changed.wait()
                if self._is_over:
                    break
                self._seat()
            for lane in [*self._lanes.values()]:
                self._tell(self._write(lane))
                if not lane.jobs and (lane.model is not self._model or not self._waiting):
                    del self._lanes[lane.model]
        left = [job for lane in self._lanes.values() for job in lane.jobs.values()]
        left += [job for _, job in self._waiting]
        self._tell([Progress(job, (), True, NotTakenError("the server was stopped")) for job in left])

    def _seat(self) -> None:
        """Give free slots to those that have waited longest."""
        begun: dict[ServedModel, list[Job]] = {}
        free = self.num_slots - self.num_busy
        while self._waiting and free > 0:
            model, job = self._waiting.popleft()
            begun.setdefault(model, []).append(job)
            free -= 1
        for model, jobs in begun.items():
            lane = self._lanes.setdefault(model, Lane(model, model.writer.make_slots()))
            lane.jobs |= {job.text: job for job in jobs}
            lane.coming += (job.text for job in jobs)
            for job in jobs:
                job.begun = time.monotonic()

    def _write(self, lane: Lane) -> list[Progress]:
        """Let the texts of a model go on for a while; whatever fails costs these texts alone."""
        for text in [text for text, job in lane.jobs.items() if job.is_cancelled]:
            if text in lane.coming:
                lane.coming.remove(text)
            else:
                lane.slots.remove(text)
            del lane.jobs[text]
        if not lane.jobs:
            return []
        turns, started = lane.choose_turns(), time.monotonic()
        is_quick = len(lane.jobs) <= FEW_TEXTS
        try:
            lane.slots.add(lane.coming)
            lane.coming = []
            told = lane.slots.advance(
                turns, tells_ends=is_quick and bool(self._waiting), tells_first_words=is_quick
            )
        except Exception as error:
            logger.exception("Version %s can't go on with its texts", lane.model.version)
            given_up = [Progress(job, (), True, error) for job in lane.jobs.values()]
            lane.jobs, lane.coming, lane.slots = {}, [], lane.model.writer.make_slots()
            return given_up
        lane.seconds_per_turn += 0.2 * ((time.monotonic() - started) / turns - lane.seconds_per_turn)
        return [*self._follow(lane, told)]

    def _follow(self, lane: Lane, told: Mapping[WrittenText, list[int]]) -> Iterator[Progress]:
        now, pause = time.monotonic(), SECONDS_BETWEEN_NEWS * len(lane.jobs)
        for text, token_ids in told.items():
            job = lane.jobs[text]
            job.untold += token_ids
            if text.has_ended or (job.untold and now - job.told >= pause):
                yield Progress(job, job.untold, text.has_ended)
                job.untold, job.told = [], now
            if text.has_ended:
                del lane.jobs[text]

    def _tell(self, news: Sequence[Progress]) -> None:
        if news and self._loop is not None:
            self._loop.call_soon_threadsafe(_hand_out, news)


def _hand_out(news: Sequence[Progress]) -> None:
    for progress in news:
        progress.job.news.put_nowait(progress)
