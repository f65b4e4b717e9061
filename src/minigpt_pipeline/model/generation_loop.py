"""The loop that writes: word after word, for a group of texts side by side, compiled once for each model.

Every turn reads one word of each text, with what the cache remembers of the words before it. Where all words of a text
are read, the next is drawn. A prompt is read in the same way as the model's own words, and when a context is full, its
newer half is read again: there is no other computation. So the kernels always have one shape, and as kernels of one
shape give every row the same bits, a text does not depend on what is written beside it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.sampling import Choice, draw_words
from minigpt_pipeline.text.vocabulary import PADDING_ID

TEXTS_AT_ONCE = 8
"""Rows of a group, always as many, with empty ones where there are fewer texts."""

NO_WORD = -1
"""The stop word of texts that don't stop early."""


class _Loop(NamedTuple):
    """What a turn changes.

    Args:
        words: int32, (rows, sequence_length). The context by position; what stands from `lengths` on means nothing.
        lengths: int32, (rows,). Words in the context, one at least.
        positions: int32, (rows,). Where the word stands that is read next.
        caches: What the model remembers of the words before it.
        num_drawn: int32, (). Words drawn for each text.
        texts: int32, (max_new_tokens, rows). The words drawn; padding after the end of a text.
        has_ended: bool, (rows,).
    """

    words: Any
    lengths: Any
    positions: Any
    caches: Any
    num_drawn: Any
    texts: Any
    has_ended: Any


def write_group(
    model: MiniGPT,
    prompts: Sequence[Sequence[int]],
    choice: Choice,
    stop_id: int | None,
    uniforms: np.ndarray,
) -> list[list[int]]:
    """Continue up to `TEXTS_AT_ONCE` prompts.

    Args:
        model: The model, in float32.
        prompts: Word ids of each, one at least. Of a prompt longer than the context the newest words are read.
        choice: How words are chosen.
        stop_id: A text ends early after this word; null means never.
        uniforms: float32, (num_prompts, max_new_tokens): the number of each draw, from 0 to below 1.

    Returns:
        The ids of the new words of each text, `max_new_tokens`, or fewer where the last is `stop_id`.
    """
    num_texts, max_new_tokens = uniforms.shape
    words = np.full((TEXTS_AT_ONCE, model.sequence_length), PADDING_ID, dtype=np.int32)
    lengths = np.ones(TEXTS_AT_ONCE, dtype=np.int32)
    for row, prompt in enumerate(prompts):
        newest = prompt[-model.sequence_length :]
        words[row, : len(newest)] = newest
        lengths[row] = len(newest)
    numbers = np.zeros((max_new_tokens, TEXTS_AT_ONCE), dtype=np.float32)
    numbers[:, :num_texts] = uniforms.T
    is_empty = np.arange(TEXTS_AT_ONCE) >= num_texts  # (rows,)
    write = compile_loop(model)
    texts = write(words, lengths, is_empty, numbers, NO_WORD if stop_id is None else stop_id, choice).numpy()
    return [text[text != PADDING_ID].tolist() for text in texts.T[:num_texts]]


@functools.lru_cache(maxsize=2)
def compile_loop(model: MiniGPT) -> Callable[..., Any]:
    """Compile the loop, once for each model; it reads the weights as they are when it is called.

    Returns:
        A function of `words`, `lengths` and `has_ended` as in `_Loop`, one float32 number for each draw,
        (max_new_tokens, rows), the stop word, and the choice, that gives the texts, int32, (max_new_tokens, rows).
    """
    import tensorflow as tf

    context = model.sequence_length
    rows = TEXTS_AT_ONCE

    def read_on(loop: _Loop, is_read: tf.Tensor) -> _Loop:
        return loop._replace(positions=tf.where(is_read, loop.positions, loop.positions + 1))

    def append(loop: _Loop, drawn: tf.Tensor, stop_id: tf.Tensor) -> _Loop:
        is_full = loop.lengths == context  # (rows,)
        kept = context // 2 - 1  # with the drawn word the newest half
        newest = loop.words[:, context - kept :]  # (rows, kept)
        begun = tf.concat([newest, loop.words[:, kept:]], axis=1)  # (rows, context)
        words = tf.where(is_full[:, None], begun, loop.words)  # (rows, context)
        lengths = tf.where(is_full, kept, loop.lengths)  # (rows,)
        words = tf.where(tf.range(context) == lengths[:, None], drawn[:, None], words)  # (rows, context)
        written = tf.where(loop.has_ended, PADDING_ID, drawn)  # (rows,)
        return loop._replace(
            words=words,
            lengths=lengths + 1,
            positions=tf.where(is_full, 0, lengths),
            num_drawn=loop.num_drawn + 1,
            texts=tf.tensor_scatter_nd_update(loop.texts, [[loop.num_drawn]], written[None]),
            has_ended=loop.has_ended | (drawn == stop_id),
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec((rows, context), tf.int32),
            tf.TensorSpec((rows,), tf.int32),
            tf.TensorSpec((rows,), tf.bool),
            tf.TensorSpec((None, rows), tf.float32),
            tf.TensorSpec((), tf.int32),
            Choice(tf.TensorSpec((), tf.float32), tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.float32)),
        ],
        autograph=False,
    )
    def write(
        words: tf.Tensor,
        lengths: tf.Tensor,
        has_ended: tf.Tensor,
        uniforms: tf.Tensor,
        stop_id: tf.Tensor,
        choice: Choice,
    ) -> tf.Tensor:
        def goes_on(loop: _Loop) -> tf.Tensor:
            return (loop.num_drawn < tf.shape(uniforms)[0]) & ~tf.reduce_all(loop.has_ended)

        def turn(loop: _Loop) -> tuple[_Loop]:
            word_ids = tf.gather(loop.words, loop.positions, batch_dims=1)  # (rows,)
            states, caches = model.step(word_ids, loop.caches, loop.positions)  # (rows, embed_dim)
            loop = loop._replace(caches=caches)
            is_read = loop.positions == loop.lengths - 1  # (rows,)

            def draw() -> _Loop:
                logits = model.next_word_logits(states)  # (rows, vocabulary_size)
                return append(loop, draw_words(logits, uniforms[loop.num_drawn], choice), stop_id)

            # Texts that are read wait for the others, as the output layer, which costs most, does not pay for one.
            # They read their last word again, which changes nothing.
            return (tf.cond(tf.reduce_all(is_read | loop.has_ended), draw, lambda: read_on(loop, is_read)),)

        start = _Loop(
            words=words,
            lengths=lengths,
            positions=tf.zeros_like(lengths),
            caches=model.make_caches(rows),
            num_drawn=tf.constant(0),
            texts=tf.fill(tf.shape(uniforms), PADDING_ID),
            has_ended=has_ended,
        )
        (end,) = tf.while_loop(goes_on, turn, (start,))
        return end.texts

    return write  # type: ignore[no-any-return]
