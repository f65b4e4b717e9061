"""The loop that writes: word after word, for texts side by side, compiled once for each model and number of rows.

Every step reads one word of each text, with what the cache remembers of the words before it. A prompt is read in the
same way as the model's own words, and when a context is full, its newer half is read again: there is no other
computation. Texts wait for each other before a word is drawn, as the output layer, which costs most, does not pay for
one.

A text does not depend on what is written beside it: no row of a kernel looks at another, and groups of another size are
used only where this machine's kernels give their rows the same bits.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt_pipeline.model.few_rows import REGISTER, Scores
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.repetition import REPETITION_RULES, lower_repeated
from minigpt_pipeline.model.sampling import RULES, Choice, draw_words
from minigpt_pipeline.text.vocabulary import PADDING_ID

USUAL_ROWS = 8
"""Of a group, and of every group where others give other bits."""

FEW_ROWS, MANY_ROWS = 1, 64
"""Of a group of a single text, and of one of many."""

ENOUGH_FOR_MANY = 24
"""Texts for which one group of `MANY_ROWS` takes no longer than several of `USUAL_ROWS`."""

NUM_CACHE_LENGTHS = 5
"""At most. Caches of many texts grow with them, as all that they have room for is read; each length is compiled."""

NO_WORD = -1
"""The stop word of texts that don't stop early."""


class _Texts(NamedTuple):
    """What a word that is drawn changes.

    Args:
        words: int32, (rows, sequence_length). The context by position; what stands from `lengths` on means nothing.
        lengths: int32, (rows,). Words in the context, one at least.
        written: int32, (max_new_tokens, rows). The words drawn; padding after the end of a text.
        num_drawn: int32, (). Words drawn for each text.
        has_ended: bool, (rows,).
    """

    words: Any
    lengths: Any
    written: Any
    num_drawn: Any
    has_ended: Any


def choose_rows(model: MiniGPT, num_texts: int) -> int:
    """Return the rows of the group that is written first, of so many texts that are left."""
    rows = USUAL_ROWS
    if num_texts <= FEW_ROWS:
        rows = FEW_ROWS
    elif num_texts >= ENOUGH_FOR_MANY:
        rows = MANY_ROWS
    return rows if rows == USUAL_ROWS or have_equal_bits(model, rows) else USUAL_ROWS


@functools.lru_cache(maxsize=4)
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
        states, _ = model.step(word_ids, model.extend_caches(caches, room), positions)
        return states

    return step


def write_group(
    model: MiniGPT,
    output_weights: Any,
    prompts: Sequence[Sequence[int]],
    choice: Choice,
    stop_ids: Sequence[int],
    uniforms: np.ndarray,
    rows: int = USUAL_ROWS,
) -> list[list[int]]:
    """Continue up to `rows` prompts.

    Args:
        model: The model, in float32.
        output_weights: What its `arrange_output_layer` has returned, with the score of padding or without.
        prompts: Word ids of each, one at least. Of a prompt longer than the context the newest words are read.
        choice: How words are chosen.
        stop_ids: A text ends early after any of these words; padding among them is itself not written.
        uniforms: float32, (num_prompts, max_new_tokens): the number of each draw, from 0 to below 1.
        rows: Of the group; empty ones where there are fewer prompts.

    Returns:
        The ids of the new words of each text, `max_new_tokens`, or fewer where one of `stop_ids` was drawn.
    """
    num_texts, max_new_tokens = uniforms.shape
    words = np.full((rows, model.sequence_length), PADDING_ID, dtype=np.int32)
    lengths = np.ones(rows, dtype=np.int32)
    whole_prompts = np.full((rows, max(map(len, prompts))), PADDING_ID, dtype=np.int32)
    for row, prompt in enumerate(prompts):
        newest = prompt[-model.sequence_length :]
        words[row, : len(newest)] = newest
        lengths[row] = len(newest)
        whole_prompts[row, -len(prompt) :] = prompt
    numbers = np.zeros((max_new_tokens, rows), dtype=np.float32)
    numbers[:, :num_texts] = uniforms.T
    is_empty = np.arange(rows) >= num_texts  # (rows,)
    stops = tuple(stop_ids) or (NO_WORD,)
    write = compile_loop(model, rows, frozenset(choice.rules), len(stops))
    texts = write(output_weights, words, lengths, is_empty, whole_prompts, numbers, stops, choice).numpy()
    return [text[text != PADDING_ID].tolist() for text in texts.T[:num_texts]]


def list_cache_lengths(context: int, rows: int) -> list[int]:
    """Return how many words the caches of a group have room for, one after another; the last is the context."""
    if rows < MANY_ROWS:
        return [context]
    step = -(-context // (NUM_CACHE_LENGTHS * REGISTER)) * REGISTER
    return [*range(step, context, step), context]


@functools.lru_cache(maxsize=12)
def compile_loop(model: MiniGPT, rows: int, rules: frozenset[str], num_stops: int) -> Callable[..., Any]:
    """Compile the loop, once for each model, number of rows, and rules that are on.

    It reads the weights as they are when it is called, but for those of the output layer, which are passed.

    Args:
        model: The model.
        rows: Of the group.
        rules: Names of those that `Choice` holds.
        num_stops: Words that a text may end with.

    Returns:
        A function of what `arrange_output_layer` returns, `words`, `lengths` and `has_ended` as in `_Texts`, the whole
        prompts behind padding, int32, (rows, longest), one float32 number for each draw, (max_new_tokens, rows), the
        stop words, and the choice, that gives the texts, int32, (max_new_tokens, rows).
    """
    import tensorflow as tf

    context = model.sequence_length
    cache_lengths = list_cache_lengths(context, rows)

    @tf.function(
        input_signature=[
            tf.nest.map_structure(tf.TensorSpec.from_tensor, model.arrange_output_layer()),
            tf.TensorSpec((rows, context), tf.int32),
            tf.TensorSpec((rows,), tf.int32),
            tf.TensorSpec((rows,), tf.bool),
            tf.TensorSpec((rows, None), tf.int32),
            tf.TensorSpec((None, rows), tf.float32),
            (tf.TensorSpec((), tf.int32),) * num_stops,
            Choice(
                temperature=tf.TensorSpec((), tf.float32),
                top_k=tf.TensorSpec((), tf.int32),
                top_p=tf.TensorSpec((), tf.float32),
                rules={name: tf.TensorSpec((), RULES[name]) for name in rules},
            ),
        ],
        autograph=False,
    )
    def write(
        output_weights: Any,
        words: tf.Tensor,
        lengths: tf.Tensor,
        has_ended: tf.Tensor,
        prompts: tf.Tensor,
        uniforms: tf.Tensor,
        stop_ids: tuple[tf.Tensor, ...],
        choice: Choice,
    ) -> tf.Tensor:
        def read(texts: _Texts, caches: Any, positions: tf.Tensor) -> tuple[tf.Tensor, Any]:
            word_ids = tf.gather(texts.words, positions, batch_dims=1)  # (rows,)
            return model.step(word_ids, caches, positions)  # (rows, embed_dim)

        def read_up_to_the_last(texts: _Texts, caches: Any, positions: tf.Tensor) -> Any:
            """Read what is new in a text but for its last word: nothing, where one word was drawn."""
            last = texts.lengths - 1  # (rows,)

            def is_behind(positions: tf.Tensor, _: Any) -> tf.Tensor:
                return tf.reduce_any((positions < last) & ~texts.has_ended)

            def read_one(positions: tf.Tensor, caches: Any) -> tuple[tf.Tensor, Any]:
                _, caches = read(texts, caches, positions)
                # Those that are there read their last word again, which changes nothing.
                return tf.minimum(positions + 1, last), caches

            positions, caches = tf.while_loop(is_behind, read_one, (positions, caches), parallel_iterations=1)
            return caches

        def goes_on(texts: _Texts) -> tf.Tensor:
            return (texts.num_drawn < tf.shape(uniforms)[0]) & ~tf.reduce_all(texts.has_ended)

        def turn(texts: _Texts, positions: tf.Tensor, caches: Any) -> tuple[_Texts, tf.Tensor, Any]:
            caches = read_up_to_the_last(texts, caches, positions)
            states, caches = read(texts, caches, texts.lengths - 1)  # (rows, embed_dim)
            scores = model.score_next_words(states, output_weights)
            scores = _lower_repeated(model, scores, prompts, texts, choice)
            drawn = tf.ensure_shape(draw_words(scores, uniforms[texts.num_drawn], choice), (rows,))
            longer = _append(texts, drawn, stop_ids)
            # A text that has begun again is read from its first word on.
            positions = tf.where(longer.lengths > texts.lengths, texts.lengths, 0)  # (rows,)
            return longer, positions, caches

        texts = _Texts(words, lengths, tf.fill(tf.shape(uniforms), PADDING_ID), tf.constant(0), has_ended)
        positions = tf.zeros_like(lengths)
        caches = model.make_caches(rows, cache_lengths[0])
        for length in cache_lengths:

            def goes_on_with_room(texts: _Texts, *_: Any, length: int = length) -> tf.Tensor:
                # A whole context has room for ever, as a text begins again in it.
                return goes_on(texts) & ((length == context) | tf.reduce_all(texts.lengths <= length))

            caches = model.extend_caches(caches, length)
            texts, positions, caches = tf.while_loop(
                goes_on_with_room, turn, (texts, positions, caches), parallel_iterations=1
            )
        return texts.written

    return write  # type: ignore[no-any-return]


def _lower_repeated(model: MiniGPT, scores: Scores, prompts: Any, texts: _Texts, choice: Choice) -> Scores:
    """Lower the scores of words that texts have already, where a rule says so; else no operation is added."""
    import tensorflow as tf

    if not REPETITION_RULES & choice.rules.keys():
        return scores
    past = tf.concat([prompts, tf.transpose(texts.written[: texts.num_drawn])], axis=1)  # (rows, num_past)
    return lower_repeated(scores, past, model.output_layer.find_zero(scores), choice.rules)


def _append(texts: _Texts, drawn: Any, stop_ids: Sequence[Any]) -> _Texts:
    """Write a drawn word, int32, (rows,), behind each text; a full context begins again with its newest half."""
    import tensorflow as tf

    context = texts.words.shape[1]
    is_full = texts.lengths == context  # (rows,)
    kept = context // 2 - 1  # with the drawn word the newest half
    newest = texts.words[:, context - kept :]  # (rows, kept)
    begun = tf.concat([newest, texts.words[:, kept:]], axis=1)  # (rows, context)
    words = tf.where(is_full[:, None], begun, texts.words)  # (rows, context)
    lengths = tf.where(is_full, kept, texts.lengths)  # (rows,)
    words = tf.where(tf.range(context) == lengths[:, None], drawn[:, None], words)  # (rows, context)
    written = tf.where(texts.has_ended, PADDING_ID, drawn)  # (rows,)
    has_ended = texts.has_ended
    for stop_id in stop_ids:
        has_ended |= drawn == stop_id
    return _Texts(
        words=words,
        lengths=lengths + 1,
        written=tf.tensor_scatter_nd_update(texts.written, [[texts.num_drawn]], written[None]),
        num_drawn=texts.num_drawn + 1,
        has_ended=has_ended,
    )
