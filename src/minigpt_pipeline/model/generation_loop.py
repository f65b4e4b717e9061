"""The loop that writes: word after word, for texts side by side, compiled once for each model and number of rows.

Every turn reads one word of each text, with what the cache remembers of the words before it. A prompt is read in the
same way as the model's own words, and when a context is full, its newer half is read again: there is no other
computation. `slots` says which texts there are.

A text does not depend on what is written beside it: no row of a kernel looks at another, and groups of another size are
used only where this machine's kernels give their rows the same bits.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigpt_pipeline.model.few_rows import REGISTER, Scores
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.repetition import have_rules, lower_repeated
from minigpt_pipeline.model.sampling import Choice, draw_words
from minigpt_pipeline.text.vocabulary import PADDING_ID

USUAL_ROWS = 8
"""Of a group, and of every group where others give other bits."""

MANY_ROWS = 64
"""Of the largest group."""

GROUP_SIZES = (2, USUAL_ROWS, 16, MANY_ROWS)
"""Rows of groups. One row has kernels of its own, and with trained models other bits."""

NUM_CACHE_LENGTHS = 5
"""At most. Caches of many texts grow with them, as all that they have room for is read; each length is compiled."""

KEPT = "__compiled"
"""Name of a model's attribute."""

NO_WORD = -1
"""The id of no word."""


class Texts(NamedTuple):
    """Where each text stands.

    Args:
        words: int32, (rows, sequence_length). The context by position; what stands from `lengths` on means nothing.
        lengths: int32, (rows,). Words in the context, one at least.
        positions: int32, (rows,). The word that is read next; those before it are in the caches.
        is_written: bool, (rows,). Whether a row has a text that goes on.
    """

    words: Any
    lengths: Any
    positions: Any
    is_written: Any


class Orders(NamedTuple):
    """How each text goes on.

    Args:
        choice: Of the words, each setting (rows,).
        num_wanted: int32, (rows,). Words after which a text ends.
        may_end: bool, (rows,). Whether it may draw padding, the end of a review, which ends it.
        stop_ids: int32, (rows,). It ends after this word; `NO_WORD` means never.
        uniforms: float32, (rows, num_draws). The number of each draw of this call, from 0 to below 1.
        past: int32, (rows, num_past). The words of each text so far, prompt included, behind padding; without any
            where no row has a rule that looks at them.
    """

    choice: Choice
    num_wanted: Any
    may_end: Any
    stop_ids: Any
    uniforms: Any
    past: Any


class Pace(NamedTuple):
    """When a call of the loop returns.

    Args:
        max_turns: int32, (). Words that each text reads, at most.
        stops_at_ends: bool, (). Whether a text that has ended is told of at once.
        is_awaited: bool, (rows,). Texts whose next word is told of at once.
        waits: bool, (). Whether no word is drawn before all texts have read theirs.
    """

    max_turns: Any
    stops_at_ends: Any
    is_awaited: Any
    waits: Any


def compile_all(model: MiniGPT, num_texts: int) -> None:
    """Compile what writing up to so many texts at once takes, so that none waits for it."""
    for rows in {choose_rows(model, count) for count in (*GROUP_SIZES, num_texts) if count <= num_texts}:
        for room in list_cache_lengths(model.sequence_length, rows):
            compile_loop(model, rows, room).get_concrete_function()


def choose_rows(model: MiniGPT, num_texts: int) -> int:
    """Return the rows of the smallest group that has room for so many texts, or for the most."""

    def is_usable(rows: int) -> bool:
        return rows == USUAL_ROWS or bool(have_equal_bits(model, rows))

    for rows in GROUP_SIZES:
        if rows >= num_texts and is_usable(rows):
            return rows
    return next(rows for rows in reversed(GROUP_SIZES) if is_usable(rows))


def _kept_with_the_model(make: Callable[..., Any]) -> Callable[..., Any]:
    """Make something of a model and further arguments once, and keep it for as long as the model lives."""

    @functools.wraps(make)
    def find_or_make(model: MiniGPT, *arguments: Any) -> Any:
        made = model.__dict__.setdefault(KEPT, {})  # past Keras, which would track what an attribute holds
        key = make.__name__, *arguments
        if key not in made:
            made[key] = make(model, *arguments)
        return made[key]

    return find_or_make


@_kept_with_the_model
def have_equal_bits(model: MiniGPT, rows: int) -> bool:
    """Try whether a group of so many rows gives each of them the bits that a group of `USUAL_ROWS` gives it."""
    num_texts, num_words = max(rows, USUAL_ROWS), min(3, model.sequence_length)
    rng = np.random.default_rng(0)
    words = rng.integers(model.vocabulary_size, size=(num_texts, num_words), dtype=np.int32)

    def read(group: int) -> np.ndarray:
        logits_of = _compile_reading(model, group)
        return np.concatenate(
            [logits_of(words[first : first + group]) for first in range(0, num_texts, group)]
        )

    def look_back(length: int, room: int) -> np.ndarray:
        """Read a word after random ones, with caches of a length that are made longer."""
        rng = np.random.default_rng(length)
        positions = rng.integers(length, size=rows, dtype=np.int32)
        caches = [
            tuple(rng.normal(size=memory.shape).astype(model.compute_dtype) for memory in cache)
            for cache in model.make_caches(rows, length)
        ]
        inputs = words[:rows, 0], caches, positions
        # Called as it is, each would count as a retracing of one function, of which TensorFlow warns.
        return np.asarray(_compile_step(model, room).get_concrete_function(*inputs)(*inputs))

    *shorter, context = list_cache_lengths(model.sequence_length, rows)
    return np.array_equal(read(rows), read(USUAL_ROWS)) and all(
        np.array_equal(look_back(length, length), look_back(length, context)) for length in shorter
    )


def _compile_reading(model: MiniGPT, rows: int) -> Callable[[np.ndarray], Any]:
    """Compile a function from words, int32, (rows, length), to the scores after the last, and their zero."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def read(words: tf.Tensor) -> tf.Tensor:
        caches = model.make_caches(rows, model.sequence_length)
        for place, word_ids in enumerate(tf.unstack(words, axis=1)):
            states, caches = model.step(word_ids, caches, tf.fill((rows,), place))
        scores = model.score_next_words(states, model.arrange_output_layer())
        return tf.concat([scores.join_parts(), model.output_layer.find_zero(scores)], axis=1)

    return read  # type: ignore[no-any-return]


def _compile_step(model: MiniGPT, room: int) -> Any:
    """Compile a function like `MiniGPT.step` that makes room in the caches first and gives the states alone."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def step(word_ids: tf.Tensor, caches: Any, positions: tf.Tensor) -> tf.Tensor:
        states, _ = model.step(word_ids, model.resize_caches(caches, room), positions)
        return states

    return step


def list_cache_lengths(context: int, rows: int) -> list[int]:
    """Return how many words the caches of a group have room for, one after another; the last is the context."""
    if rows < MANY_ROWS:
        return [context]
    step = -(-context // (NUM_CACHE_LENGTHS * REGISTER)) * REGISTER
    return [*range(step, context, step), context]


@_kept_with_the_model
def compile_loop(model: MiniGPT, rows: int, room: int) -> Any:
    """Compile the loop, once for each model, number of rows, and length of the caches.

    It reads the weights as they are when it is called, but for those of the output layer, which are passed.

    Args:
        model: The model.
        rows: Of the group.
        room: Words that the caches have room for.

    Returns:
        A function of what `arrange_output_layer` returns, the caches, `Texts`, `Orders` and `Pace` that gives the
        caches, the `Texts` as they are then, and the words drawn, int32, (rows, num_draws), `NO_WORD` behind them.
    """
    import tensorflow as tf

    context = model.sequence_length

    def spec(dtype: Any, *shape: int | None) -> tf.TensorSpec:
        return tf.TensorSpec(shape, dtype)

    def draw(orders: Orders, drawn: tf.Tensor, counts: tf.Tensor, scores: Scores) -> tf.Tensor:
        scores = _let_some_end(scores, orders.may_end)
        scores = _lower_repeated(model, scores, orders, drawn, counts)
        uniforms = tf.gather(
            orders.uniforms, tf.minimum(counts, tf.shape(drawn)[1] - 1), batch_dims=1
        )  # (rows,)
        return tf.ensure_shape(draw_words(scores, uniforms, orders.choice), (rows,))

    @tf.function(
        input_signature=[
            tf.nest.map_structure(tf.TensorSpec.from_tensor, model.arrange_output_layer()),
            tf.nest.map_structure(tf.TensorSpec.from_tensor, model.make_caches(rows, room)),
            Texts(
                words=spec(tf.int32, rows, context),
                lengths=spec(tf.int32, rows),
                positions=spec(tf.int32, rows),
                is_written=spec(tf.bool, rows),
            ),
            Orders(
                choice=Choice(
                    temperature=spec(tf.float32, rows),
                    top_k=spec(tf.int32, rows),
                    top_p=spec(tf.float32, rows),
                    min_p=spec(tf.float32, rows),
                    repetition_penalty=spec(tf.float32, rows),
                    no_repeat_ngram_size=spec(tf.int32, rows),
                ),
                num_wanted=spec(tf.int32, rows),
                may_end=spec(tf.bool, rows),
                stop_ids=spec(tf.int32, rows),
                uniforms=spec(tf.float32, rows, None),
                past=spec(tf.int32, rows, None),
            ),
            Pace(spec(tf.int32), spec(tf.bool), spec(tf.bool, rows), spec(tf.bool)),
        ],
        autograph=False,
    )
    def write(output_weights: Any, caches: Any, texts: Texts, orders: Orders, pace: Pace) -> Any:
        def goes_on(turn: tf.Tensor, texts: Texts, *_: Any) -> tf.Tensor:
            # A whole context has room for ever, as a text begins again in it.
            has_room = (room == context) | tf.reduce_all(~texts.is_written | (texts.lengths <= room))
            return (turn < pace.max_turns) & tf.reduce_any(texts.is_written) & has_room

        def take_turn(
            turn: tf.Tensor, texts: Texts, drawn: tf.Tensor, counts: tf.Tensor, caches: Any
        ) -> tuple[tf.Tensor, Texts, tf.Tensor, tf.Tensor, Any]:
            word_ids = tf.gather(texts.words, texts.positions, batch_dims=1)  # (rows,)
            states, caches = model.step(word_ids, caches, texts.positions)  # (rows, embed_dim)
            is_read = ~texts.is_written | (texts.positions == texts.lengths - 1)  # (rows,)
            is_ready = texts.is_written & is_read & (tf.reduce_all(is_read) | ~pace.waits)  # (rows,)
            words = tf.cond(
                tf.reduce_any(is_ready),
                lambda: draw(orders, drawn, counts, model.score_next_words(states, output_weights)),
                lambda: tf.zeros_like(counts),
            )  # (rows,)
            is_here = (tf.range(tf.shape(drawn)[1]) == counts[:, None]) & is_ready[
                :, None
            ]  # (rows, num_draws)
            drawn = tf.where(is_here, words[:, None], drawn)
            counts += tf.cast(is_ready, tf.int32)
            has_ended = (words == orders.stop_ids) | (words == PADDING_ID) | (counts == orders.num_wanted)
            # Whoever waits to be told of a word, or has ended, ends the last turn.
            is_last = tf.reduce_any(is_ready & (pace.is_awaited | (has_ended & pace.stops_at_ends)))
            texts = _append(texts, words, is_ready, has_ended)
            return tf.where(is_last, pace.max_turns, turn + 1), texts, drawn, counts, caches

        drawn = tf.fill(tf.shape(orders.uniforms), NO_WORD)  # (rows, num_draws)
        start = (0, texts, drawn, tf.zeros_like(texts.lengths), caches)
        _, texts, drawn, _, caches = tf.while_loop(goes_on, take_turn, start, parallel_iterations=1)
        return caches, texts, drawn

    return write


def _let_some_end(scores: Scores, may_end: Any) -> Scores:
    """Return the scores without that of padding in rows that must not end, where the output layer has given it one."""
    import tensorflow as tf

    def forbid() -> tuple[tf.Tensor, tf.Tensor]:
        first = scores.parts[0][:, :1]  # (rows, 1, BLOCK_WORDS)
        is_padding = tf.range(first.shape[2]) == PADDING_ID - scores.first_words[0]
        first = tf.where(is_padding & ~may_end[:, None, None], -math.inf, first)
        maxima = tf.concat([tf.reduce_max(first, axis=2), scores.maxima[:, 1:]], axis=1)
        return tf.concat([first, scores.parts[0][:, 1:]], axis=1), maxima

    part, maxima = tf.cond(
        tf.reduce_any(may_end) & ~tf.reduce_all(may_end), forbid, lambda: (scores.parts[0], scores.maxima)
    )
    return scores._replace(parts=(part, *scores.parts[1:]), maxima=maxima)


def _lower_repeated(model: MiniGPT, scores: Scores, orders: Orders, drawn: Any, counts: Any) -> Scores:
    """Lower the scores of words that texts have already, where a rule of a row says so."""
    import tensorflow as tf

    def lower() -> tuple[Any, Any]:
        past = tf.concat([orders.past, drawn], axis=1)
        num_past, num_missing = tf.shape(past)[1], tf.shape(drawn)[1] - counts[:, None]  # (rows, 1)
        places = tf.range(num_past) - num_missing  # (rows, num_past): the words drawn now end each row
        past = tf.where(places < 0, PADDING_ID, tf.gather(past, tf.maximum(places, 0), batch_dims=1))
        lowered = lower_repeated(scores, past, model.output_layer.find_zero(scores), orders.choice)
        return lowered.parts, lowered.maxima

    parts, maxima = tf.cond(
        tf.reduce_any(have_rules(orders.choice)), lower, lambda: (scores.parts, scores.maxima)
    )
    return scores._replace(parts=tuple(parts), maxima=maxima)


def _append(texts: Texts, words: Any, is_ready: Any, has_ended: Any) -> Texts:
    """Write a drawn word, int32, (rows,), behind the texts that are ready; others read on.

    A full context begins again with its newest half, and is read from its first word on.
    """
    import tensorflow as tf

    context = texts.words.shape[1]
    is_full = is_ready & (texts.lengths == context)  # (rows,)
    kept = context // 2 - 1  # with the drawn word the newest half
    newest = texts.words[:, context - kept :]  # (rows, kept)
    begun = tf.concat([newest, texts.words[:, kept:]], axis=1)  # (rows, context)
    begun = tf.where(is_full[:, None], begun, texts.words)  # (rows, context)
    lengths = tf.where(is_full, kept, texts.lengths)  # (rows,)
    is_place = (tf.range(context) == lengths[:, None]) & is_ready[:, None]  # (rows, context)
    lengths += tf.cast(is_ready, tf.int32)
    is_written = texts.is_written & ~(is_ready & has_ended)  # (rows,)
    read_on = tf.minimum(texts.positions + 1, lengths - 1)  # (rows,): whoever waits reads the last word again
    # A row without a text must not write where its caches have no room any more: that is another row's place.
    positions = tf.where(is_full | ~is_written, 0, read_on)  # (rows,)
    return Texts(
        words=tf.where(is_place, words[:, None], begun),
        lengths=lengths,
        positions=positions,
        is_written=is_written,
    )
