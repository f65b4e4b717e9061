"""Slots in which texts are written side by side: one leaves when it has ended, and another takes its place at once.

A text is the same in any slot, beside any others, whenever it came: see `generation_loop`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigpt_pipeline.model.generation_loop import (
    NO_WORD,
    Orders,
    Pace,
    Texts,
    choose_rows,
    compile_loop,
    list_cache_lengths,
)
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.repetition import have_rules
from minigpt_pipeline.model.sampling import Choice
from minigpt_pipeline.text.vocabulary import PADDING_ID

PAST_STEP = 64
"""Words by which the loop's view of the texts so far grows, so that it is not of another length in every call."""


@dataclass(eq=False)
class WrittenText:
    """A text that is being written.

    Args:
        prompt: Word ids, one at least; of a prompt longer than the context the newest are read.
        choice: How its words are chosen, one number a setting.
        max_new_words: It ends after so many.
        may_end: Whether it ends where the model ends the review.
        stop_id: A word that ends it; `NO_WORD` means none.
        seed: Of its numbers.
    """

    prompt: Sequence[int]
    choice: Choice
    max_new_words: int
    may_end: bool
    stop_id: int
    seed: int
    word_ids: list[int] = field(default_factory=list)
    """What was written; an end of review is not among it."""
    has_ended: bool = False
    ended_itself: bool = False
    """Whether that was not because it had `max_new_words`."""
    uniforms: np.ndarray = field(init=False)
    """float32, (max_new_words,): the number of each draw, from 0 to below 1."""

    def __post_init__(self) -> None:
        """Draw its numbers, which are its seed's alone."""
        self.uniforms = np.random.default_rng(self.seed).random(self.max_new_words, dtype=np.float32)

    def take(self, drawn: Sequence[int]) -> None:
        """Take words that were drawn behind those that it has."""
        self.word_ids += [word for word in drawn if word != PADDING_ID]
        self.ended_itself = bool(drawn) and drawn[-1] in (PADDING_ID, self.stop_id)
        self.has_ended = self.ended_itself or len(self.word_ids) == self.max_new_words


class Slots:
    """The slots of one model, whose weights don't change any more.

    There are as many as a group of the loop has rows; with the texts their number grows and shrinks, between the sizes
    that give equal bits on this machine.

    Args:
        model: The model, in float32.
        output_weights: What its `arrange_output_layer` has returned, by `may_end`.
    """

    def __init__(self, model: MiniGPT, output_weights: Mapping[bool, Any]) -> None:
        self._model = model
        self._output_weights = output_weights
        self._texts: list[WrittenText | None] = []  # by row
        self._context = model.sequence_length
        self._words = np.zeros((0, self._context), np.int32)
        self._lengths = np.zeros(0, np.int32)
        self._positions = np.zeros(0, np.int32)
        self._caches: Any = None
        self._room = 0

    @property
    def texts(self) -> list[WrittenText]:
        """Those that are being written."""
        return [text for text in self._texts if text is not None]

    def add(self, texts: Iterable[WrittenText]) -> None:
        """Give each text a slot; more than a whole group of the loop has rows can't be written at once."""
        texts = list(texts)
        self._resize(choose_rows(self._model, len(self.texts) + len(texts)))
        for text in texts:
            row = self._texts.index(None)
            newest = np.asarray(text.prompt[-self._context :], np.int32)
            self._texts[row] = text
            self._words[row, : len(newest)] = newest
            self._lengths[row] = len(newest)
            self._positions[row] = 0

    def remove(self, text: WrittenText) -> None:
        """Free the slot of a text."""
        self._texts[self._texts.index(text)] = None

    def advance(
        self,
        max_turns: int,
        *,
        tells_ends: bool = False,
        tells_first_words: bool = False,
        waits: bool = False,
    ) -> dict[WrittenText, list[int]]:
        """Go on with all texts; those that have ended leave their slots.

        Args:
            max_turns: Words that each reads, at most.
            tells_ends: Whether to return as soon as one has ended.
            tells_first_words: Whether to return as soon as one has its first word.
            waits: Whether no word is drawn before all texts have read theirs: then the output layer, which costs most,
                is spent once for all.

        Returns:
            The words that were drawn for each text, padding among them where that has ended it.
        """
        written = {row: text for row, text in enumerate(self._texts) if text is not None}
        if not written:
            return {}
        self._make_room(written)
        num_rows = len(self._texts)
        num_left = np.ones(num_rows, np.int32)
        for row, text in written.items():
            num_left[row] = text.max_new_words - len(text.word_ids)
        num_draws = int(min(max_turns, num_left.max()))
        any_text = next(iter(written.values()))  # what it takes to draw is done for one kind of choice less
        choices = [(text or any_text).choice for text in self._texts]
        uniforms = np.zeros((num_rows, num_draws), np.float32)
        for row, text in written.items():
            numbers = text.uniforms[len(text.word_ids) :][:num_draws]
            uniforms[row, : len(numbers)] = numbers
        is_written = np.array([text is not None for text in self._texts])
        may_end = np.array([text is not None and text.may_end for text in self._texts])
        orders = Orders(
            choice=Choice(*(np.array(values) for values in zip(*choices, strict=True))),
            num_wanted=num_left,
            may_end=may_end,
            stop_ids=np.array([NO_WORD if text is None else text.stop_id for text in self._texts], np.int32),
            uniforms=uniforms,
            past=self._list_past(written),
        )
        is_awaited = np.array(
            [tells_first_words and text is not None and not text.word_ids for text in self._texts]
        )
        pace = Pace(np.int32(max_turns), np.bool_(tells_ends), is_awaited, np.bool_(waits))
        positions = np.where(is_written, self._positions, 0)
        texts = Texts(self._words, self._lengths, positions, is_written)
        loop = compile_loop(self._model, num_rows, self._room)
        weights = self._output_weights[bool(may_end.any())]
        self._caches, texts, drawn = loop(weights, self._caches, texts, orders, pace)
        self._words, self._lengths, self._positions = (
            np.array(tensor) for tensor in (texts.words, texts.lengths, texts.positions)
        )
        return self._hand_out(written, np.asarray(drawn))

    def _hand_out(
        self, written: Mapping[int, WrittenText], drawn: np.ndarray
    ) -> dict[WrittenText, list[int]]:
        told = {}
        for row, text in written.items():
            words = drawn[row][drawn[row] != NO_WORD].tolist()
            text.take(words)
            told[text] = words
            if text.has_ended:
                self._texts[row] = None
        return told

    def _list_past(self, written: Mapping[int, WrittenText]) -> np.ndarray:
        """Return `Orders.past`."""
        pasts = {
            row: [*text.prompt, *text.word_ids] for row, text in written.items() if have_rules(text.choice)
        }
        longest = max(map(len, pasts.values()), default=0)
        past = np.full((len(self._texts), -(-longest // PAST_STEP) * PAST_STEP), PADDING_ID, np.int32)
        for row, words in pasts.items():
            past[row, -len(words) :] = words
        return past

    def _resize(self, num_rows: int) -> None:
        """Have another number of slots; the texts keep what is remembered of them."""
        kept = [row for row, text in enumerate(self._texts) if text is not None]
        if num_rows == len(self._texts) or num_rows < len(kept):
            return
        rows = np.array(kept + [0] * (num_rows - len(kept)), np.int32)
        if not self._texts:
            self._room = list_cache_lengths(self._context, num_rows)[0]
            self._caches = self._model.make_caches(num_rows, self._room)
            self._words = np.zeros((num_rows, self._context), np.int32)
            self._lengths, self._positions = np.ones(num_rows, np.int32), np.zeros(num_rows, np.int32)
        else:
            import tensorflow as tf

            self._caches = [tuple(tf.gather(memory, rows) for memory in cache) for cache in self._caches]
            self._words, self._lengths, self._positions = (
                values[rows] for values in (self._words, self._lengths, self._positions)
            )
        self._texts = [self._texts[row] for row in kept] + [None] * (num_rows - len(kept))

    def _make_room(self, written: Mapping[int, WrittenText]) -> None:
        """Let the caches be as long as a length of the loop that the texts need now, and no longer than they will."""
        lengths = list_cache_lengths(self._context, len(self._texts))
        needed = max(int(self._lengths[row]) for row in written)
        final = max(
            int(self._lengths[row]) + text.max_new_words - len(text.word_ids) for row, text in written.items()
        )
        shortest = next(length for length in lengths if length >= needed)
        longest = next((length for length in lengths if length >= final), lengths[-1])
        if self._room in lengths and shortest <= self._room <= longest:
            return
        room = shortest if self._room < shortest else longest
        self._caches = self._model.resize_caches(self._caches, room)
        self._room = room
