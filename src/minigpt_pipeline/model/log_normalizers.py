"""The normalizers of a softmax over many words, and their gradients, a block of rows at a time.

With 20,000 words the logits of a batch of 10,240 positions take 0.8 GB in float32. They are never held: a block of rows
is multiplied out, exponentiated, and multiplied back into its part of the gradients before the next one begins. The
result is exact; only the order of additions differs from the plain computation.

A block is three matrix products and one pass of exponentials. All else rides on the products in two more columns: the
bias, which meets a column of ones, and ones that meet the exponentials and so give their sum. Nor is the softmax ever
divided out: the division is spent on the thin side of each product.
"""

from typing import Any

import keras
from keras import ops

from minigpt_pipeline.model.blocks import compiled, multiply, scan_blocks

BLOCK_ROWS = 1024
"""Fewer rows spend more on adding up the kernel's gradient; twice as many gain 3 % and double the block's memory."""

MORE_COLUMNS = 8
"""For bias and ones; as many as keep the columns a multiple of what vector registers hold."""

SAFE_LOGIT = 75.0
"""`exp` of it, summed over 800,000 words, is still a float32 number, and `exp` of its negative a normal one."""


def log_normalizers(states: Any, kernel: Any, bias: Any) -> Any:
    """Return `ln sum_w exp(kernel[w] . state + bias[w])` of each row; for measuring, where no gradient is asked for.

    Args:
        states: Compute dtype, `(num_rows, width)`.
        kernel: float32, `(num_words, width)`.
        bias: float32, `(num_words,)`.

    Returns:
        float32, `(num_rows,)`.
    """
    num_rows = states.shape[0]
    blocks = _to_blocks(_append_ones_to_states(states))  # (num_blocks, block_rows, columns)
    num_blocks, block_rows = blocks.shape[:2]
    kernel = _append_columns_to_kernel(kernel, bias, blocks.dtype)  # (num_words, columns)
    is_safe = _are_logits_safe(states, kernel)

    def measure(carry: Any, block: tuple[Any]) -> tuple[Any, Any]:
        exponentials, shifts = _exponentials(
            kernel, block[0], is_safe
        )  # (num_words, block_rows), (block_rows,)
        totals = ops.sum(ops.cast(exponentials, "float32"), axis=0)  # (block_rows,)
        return carry, ops.log(totals) + shifts  # (block_rows,)

    _, normalizers = scan_blocks(measure, (), (blocks,), num_blocks, ((block_rows,), "float32"))
    return ops.reshape(normalizers, (-1,))[:num_rows]  # (num_rows,)


def sum_log_normalizers(states: Any, kernel: Any, bias: Any, num_counted: Any) -> Any:
    """Sum the normalizers of the first rows, with their gradients; the other rows cost nothing.

    The gradients are made on the way there, for an upstream gradient of one, and scaled on the way back:

        d/d state  = sum_w p(w) kernel[w]        d/d kernel[w] = sum_rows p(w) state        d/d bias[w] = sum_rows p(w)

    Args:
        states: Compute dtype, `(num_rows, width)`.
        kernel: float32, `(num_words, width)`.
        bias: float32, `(num_words,)`.
        num_counted: int32 scalar. Rows from the first one on that count.

    Returns:
        float32 scalar.
    """

    @ops.custom_gradient
    def summed(states: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
        total, gradients = _sum_with_gradients(states, kernel, bias, num_counted)

        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            return tuple(ops.cast(upstream, part.dtype) * part for part in gradients)

        return total, gradient

    return summed(states, kernel, bias)


def _sum_with_gradients(states: Any, kernel: Any, bias: Any, num_counted: Any) -> tuple[Any, tuple[Any, ...]]:
    num_rows, width = states.shape
    num_words = kernel.shape[0]
    blocks = _to_blocks(_append_ones_to_states(states))  # (num_blocks, block_rows, columns)
    num_blocks, block_rows, columns = blocks.shape
    dtype = blocks.dtype
    kernel = _append_columns_to_kernel(kernel, bias, dtype)  # (num_words, columns)
    is_safe = _are_logits_safe(states, kernel)
    is_counted = ops.reshape(ops.arange(num_blocks * block_rows) < num_counted, (num_blocks, block_rows))

    def add(carry: Any, block: tuple[Any, Any]) -> tuple[Any, Any]:
        total, kernel_gradient = carry
        rows, counted = block[0], ops.cast(block[1], "float32")  # (block_rows, columns), (block_rows,)
        exponentials, shifts = _exponentials(kernel, rows, is_safe)  # (num_words, block_rows), (block_rows,)
        gathered = multiply(exponentials, kernel, transpose_first=True)  # (block_rows, columns)
        gathered = ops.cast(gathered, "float32")
        totals = gathered[:, width + 1]  # (block_rows,)
        scales = (counted / totals)[:, None]  # (block_rows, 1)
        scaled = ops.cast(ops.cast(rows, "float32") * scales, dtype)  # (block_rows, columns)
        kernel_part = ops.matmul(exponentials, scaled)  # (num_words, columns)
        total += ops.sum((ops.log(totals) + shifts) * counted)
        return (total, kernel_gradient + ops.cast(kernel_part, "float32")), gathered[:, :width] * scales

    start = (ops.zeros(()), ops.zeros((num_words, columns)))
    num_used = (num_counted + block_rows - 1) // block_rows
    (total, kernel_gradient), row_gradients = scan_blocks(
        add, start, (blocks, is_counted), num_used, ((block_rows, width), "float32")
    )
    state_gradients = ops.reshape(row_gradients, (-1, width))[:num_rows]  # (num_rows, width)
    gradients = ops.cast(state_gradients, states.dtype), kernel_gradient[:, :width], kernel_gradient[:, width]
    return total, gradients


def _append_ones_to_states(states: Any) -> Any:
    """Append a column of ones, which meets the bias; (num_rows, columns)."""
    # Exponentials need the range of float32, which float16 has not and bfloat16 has.
    dtype = "bfloat16" if keras.backend.standardize_dtype(states.dtype) == "float16" else states.dtype
    num_rows = states.shape[0]
    appended = [ops.ones((num_rows, 1), dtype), ops.zeros((num_rows, MORE_COLUMNS - 1), dtype)]
    return ops.concatenate([ops.cast(states, dtype), *appended], axis=1)


def _append_columns_to_kernel(kernel: Any, bias: Any, dtype: Any) -> Any:
    """Append the bias and a column of ones, which meets the exponentials; (num_words, columns)."""
    num_words = kernel.shape[0]
    appended = [bias[:, None], ops.ones((num_words, 1)), ops.zeros((num_words, MORE_COLUMNS - 2))]
    return ops.cast(ops.concatenate([kernel, *appended], axis=1), dtype)


def _are_logits_safe(states: Any, kernel: Any) -> Any:
    """Say whether no logit can be too large for `exp`: none is larger than the product of the longest two vectors."""
    longest = [
        ops.sqrt(ops.max(ops.sum(ops.square(ops.cast(matrix, "float32")), axis=1)))
        for matrix in (states, kernel)
    ]
    return (longest[0] + 1.0) * longest[1] < SAFE_LOGIT


def _exponentials(kernel: Any, rows: Any, is_safe: Any) -> tuple[Any, Any]:
    """Return `exp(logit - shift)`, (num_words, block_rows), and the shifts, float32, (block_rows,).

    Words come first: so the wide matrices are read as they lie in memory.
    """
    logits = multiply(kernel, rows, transpose_second=True)  # (num_words, block_rows)
    # A shift changes nothing but what can be computed, and the largest logit costs a pass over all of them.
    shifts = ops.cond(
        is_safe,
        lambda: ops.zeros((rows.shape[0],)),
        lambda: ops.cast(ops.max(logits, axis=0), "float32"),
    )
    return _shifted_exponentials(logits, shifts), shifts


@compiled
def _shifted_exponentials(logits: Any, shifts: Any) -> Any:
    return ops.cast(ops.exp(ops.cast(logits, "float32") - shifts), logits.dtype)  # (num_words, block_rows)


def _to_blocks(states: Any) -> Any:
    """Cut rows into blocks of one size, the last one filled up with rows of zeros."""
    num_rows, columns = states.shape
    block_rows = min(BLOCK_ROWS, num_rows)
    missing = -num_rows % block_rows
    return ops.reshape(ops.pad(states, ((0, missing), (0, 0))), (-1, block_rows, columns))
