"""The model's parts for few rows at a time, where texts are written, and a row has the same bits beside any others.

A kernel may treat what does not fill a vector register, or a product with a single row, in a way of its own. So there
are no such rests here, and groups have two rows at least. What is left to chance is tried by
`generation_loop.have_equal_bits`.
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from minigpt_pipeline.model.blocks import write_rows

REGISTER = 16
"""float32 numbers in the widest vector register."""

BLOCK_WORDS = 64
"""Logits of as many words, one id after another, are a block. A multiple of `REGISTER`."""


class Scores(NamedTuple):
    """Logits of the next word, in blocks.

    Args:
        parts: float32, each `(num_rows, num_blocks, BLOCK_WORDS)`, -inf for what must not be drawn. To put them
            together would cost more than a search that looks at both.
        maxima: float32, `(num_rows, num_blocks)`: the largest of each block of all parts.
        first_words: int32, `(num_blocks,)`: the id of each block's first word; they ascend.
    """

    parts: tuple[Any, ...]
    maxima: Any
    first_words: Any

    def join_parts(self) -> Any:
        """Return all logits, float32, `(num_rows, num_columns)`, by the order of the words."""
        logits = ops.concatenate(self.parts, axis=1)  # (num_rows, num_blocks, BLOCK_WORDS)
        return ops.reshape(logits, (-1, logits.shape[1] * BLOCK_WORDS))

    def list_parts(self) -> list[tuple[Any, int, int]]:
        """Return each part with the id of its first word, and the id behind its last one."""
        firsts, block = [], 0
        for part in self.parts:
            firsts.append(int(self.first_words[block]))
            block += part.shape[1]
        ends = [*firsts[1:], int(self.first_words[-1]) + BLOCK_WORDS]
        return list(zip(self.parts, firsts, ends, strict=True))

    def take_blocks(self, blocks: Any) -> Any:
        """Return the logits of chosen blocks of each row.

        Args:
            blocks: int32, `(num_rows, count)`.

        Returns:
            float32, `(num_rows, count, BLOCK_WORDS)`.
        """
        rows = ops.arange(ops.shape(blocks)[0], dtype="int32")[:, None]  # (num_rows, 1)
        taken, first = None, 0
        for part in self.parts:
            num_blocks = part.shape[1]
            places = ops.clip(blocks - first, 0, num_blocks - 1) + num_blocks * rows
            chosen = ops.take(ops.reshape(part, (-1, BLOCK_WORDS)), places, axis=0)
            taken = chosen if taken is None else ops.where((blocks >= first)[:, :, None], chosen, taken)
            first += num_blocks
        return taken


def normalize(layer: keras.layers.LayerNormalization, inputs: Any) -> Any:
    """Return what a layer does with each row, `(num_rows, 1, width)`; one deviation a row would be a rest."""
    rows = ops.cast(inputs, "float32")
    centered = rows - ops.mean(rows, axis=-1, keepdims=True)  # (num_rows, 1, width)
    variances = ops.mean(ops.square(centered), axis=-1, keepdims=True)  # (num_rows, 1, 1)
    deviations = ops.rsqrt(ops.broadcast_to(variances, rows.shape) + layer.epsilon)  # (num_rows, 1, width)
    return ops.cast(centered * deviations * layer.gamma + layer.beta, inputs.dtype)


def log_sum_exp(scores: Scores) -> Any:
    """Return `ln sum exp` of the logits of each row, `(num_rows, 1)`."""
    logits = scores.join_parts()  # (num_rows, num_columns)
    # The softmax is one kernel, and that of the largest logit is 1 / sum exp(logit - largest).
    shares = make_blocks(ops.softmax(logits, axis=1))
    best = ops.argmax(scores.maxima, axis=1)  # int32, (num_rows,)
    share = ops.max(shares.take_blocks(best[:, None]), axis=2)  # (num_rows, 1)
    return ops.max(scores.maxima, axis=1, keepdims=True) - ops.log(ops.repeat(share, REGISTER, axis=1))[:, :1]


def arrange(kernel: Any, bias: Any) -> Any:
    """Lay kernel and bias out for `score`: as a product with few rows reads them, three times as fast as across.

    Args:
        kernel: Compute dtype, `(num_words, width)`.
        bias: float32, `(num_words,)`.

    Returns:
        Compute dtype, `(width + 1, num_columns)`: the words, and up to a whole block columns with a bias of -inf. The
        last row is the bias: TensorFlow would make one kernel of a product and an addition, which for few rows takes
        three times as long as a product with one more row.
    """
    num_words, width = kernel.shape
    num_added = -num_words % BLOCK_WORDS
    bias = ops.pad(bias, ((0, num_added),), constant_values=-math.inf)  # (num_columns,)
    arranged = ops.pad(ops.transpose(kernel), ((0, 1), (0, num_added)))  # (width + 1, num_columns)
    return write_rows(arranged, ops.array([width]), ops.cast(bias[None], kernel.dtype))


def score(states: Any, arranged: Any, *further: Any) -> Any:
    """Return logits, float32, `(num_rows, num_columns)`.

    Args:
        states: Compute dtype, `(num_rows, width)`.
        arranged: What `arrange` has returned, and a further row for each of `further`.
        *further: Compute dtype, `(num_rows, 1)`.
    """
    ones = ops.ones_like(states[:, :1])  # (num_rows, 1)
    return ops.cast(ops.matmul(ops.concatenate([states, ones, *further], axis=1), arranged), "float32")


def make_blocks(logits: Any, first_word: int = 0) -> Scores:
    """Cut logits, float32, `(num_rows, num_columns)`, a multiple of `BLOCK_WORDS`, from a word on, into blocks."""
    num_columns = logits.shape[1]
    blocks = ops.reshape(logits, (-1, num_columns // BLOCK_WORDS, BLOCK_WORDS))
    first_words = np.arange(first_word, first_word + num_columns, BLOCK_WORDS, dtype="int32")
    return Scores((blocks,), ops.max(blocks, axis=2), first_words)


def join_blocks(frequent: Scores, rare: Scores) -> Scores:
    """Put the blocks of words with higher ids behind those with lower ones."""
    return Scores(
        frequent.parts + rare.parts,
        ops.concatenate([frequent.maxima, rare.maxima], axis=1),
        np.concatenate([frequent.first_words, rare.first_words]),
    )
