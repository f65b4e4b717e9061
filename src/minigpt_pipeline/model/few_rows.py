"""The model's parts for few rows at a time, where texts are written, and a row has the same bits beside any others.

A kernel may treat what does not fill a vector register, or a product with a single row, in a way of its own. So there
are no such rests here, and no single row. What is left to chance, `generation_loop.have_equal_bits` tries.
"""

import math
from typing import Any

import keras
from keras import ops

REGISTER = 16
"""float32 numbers in the widest vector register."""


def project(layer: keras.layers.Dense, inputs: Any) -> Any:
    """Return what a layer does with each row, `(num_rows, 1, units)`; a single row is multiplied as two."""
    if inputs.shape[0] == 1:
        return layer(ops.concatenate([inputs, inputs]))[:1]
    return layer(inputs)


def normalize(layer: keras.layers.LayerNormalization, inputs: Any) -> Any:
    """Return what a layer does with each row, `(num_rows, 1, width)`; one deviation a row would be a rest."""
    rows = ops.cast(inputs, "float32")
    centered = rows - ops.mean(rows, axis=-1, keepdims=True)  # (num_rows, 1, width)
    variances = ops.mean(ops.square(centered), axis=-1, keepdims=True)  # (num_rows, 1, 1)
    deviations = ops.rsqrt(ops.broadcast_to(variances, rows.shape) + layer.epsilon)  # (num_rows, 1, width)
    return ops.cast(centered * deviations * layer.gamma + layer.beta, inputs.dtype)


def log_sum_exp(logits: Any) -> Any:
    """Return `ln sum exp` of each row, `(num_rows, 1)`, of logits, float32, `(num_rows, num_columns)`."""
    largest = ops.max(logits, axis=1, keepdims=True)  # (num_rows, 1)
    # The softmax is one kernel, and that of the largest is 1 / sum exp(logit - largest).
    share = ops.max(ops.softmax(logits, axis=1), axis=1, keepdims=True)  # (num_rows, 1)
    return largest - ops.log(ops.repeat(share, REGISTER, axis=1))[:, :1]


def arrange(kernel: Any, bias: Any, num_added: int = 0) -> Any:
    """Lay kernel and bias out for `score`: as a product with few rows reads them, three times as fast as across.

    Args:
        kernel: Compute dtype, `(num_words, width)`.
        bias: float32, `(num_words,)`.
        num_added: Columns behind those of the words, with a bias of -inf.

    Returns:
        Compute dtype, `(width + 1, num_words + num_added)`; the last row is the bias. TensorFlow would make one kernel
        of a product and an addition, which for few rows takes three times as long as a product with one more row.
    """
    bias = ops.pad(bias, ((0, num_added),), constant_values=-math.inf)  # (num_words + num_added,)
    kernel = ops.pad(ops.transpose(kernel), ((0, 0), (0, num_added)))  # (width, num_words + num_added)
    return ops.concatenate([kernel, ops.cast(bias[None], kernel.dtype)])


def score(states: Any, arranged: Any) -> Any:
    """Return logits, float32, `(num_rows, num_columns)`, of states, compute dtype, `(num_rows, width)`."""
    ones = ops.ones_like(states[:, :1])  # (num_rows, 1)
    return ops.cast(ops.matmul(ops.concatenate([states, ones], axis=1), arranged), "float32")
