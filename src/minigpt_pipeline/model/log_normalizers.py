"""The normalizers of a softmax over many words, and their gradients, a block of rows at a time.

With 20,000 words the logits of a batch of 10,240 positions take 0.8 GB in float32. They are never held: a block of rows
is multiplied out, exponentiated, and multiplied back into its part of the gradients before the next one begins. The
result is exact; only the order of additions differs from the plain computation.

A block is three matrix products, one pass of exponentials and one of additions. The bias is added in the first pass; a
row of ones beneath the kernel gives the sums of the exponentials with the second product. Nor is the softmax ever
divided out: the division is spent on the thin side of each product.
"""

from typing import Any

import keras
from keras import ops

from minigpt_pipeline.model.blocks import compiled, multiply, scan_blocks

BLOCK_ROWS = 2048
"""Half as many make a step 2 % slower, as the kernel's gradient is added up more often; 20,000 words take 160 MB."""

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
    blocks = _to_blocks(_with_range(states))  # (num_blocks, block_rows, width)
    num_blocks, block_rows = blocks.shape[:2]
    is_safe = _are_logits_safe(states, kernel, bias)
    kernel = ops.cast(kernel, blocks.dtype)  # (num_words, width)

    def measure(carry: Any, block: tuple[Any]) -> tuple[Any, Any]:
        exponentials, shifts = _exponentials(
            kernel, bias, block[0], is_safe
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
            return _scaled(upstream, *gradients)

        return total, gradient

    return summed(states, kernel, bias)


def _sum_with_gradients(states: Any, kernel: Any, bias: Any, num_counted: Any) -> tuple[Any, tuple[Any, ...]]:
    num_rows, width = states.shape
    num_words = kernel.shape[0]
    blocks = _to_blocks(_with_range(states))  # (num_blocks, block_rows, width)
    num_blocks, block_rows, _ = blocks.shape
    dtype = blocks.dtype
    is_safe = _are_logits_safe(states, kernel, bias)
    kernel = ops.cast(kernel, dtype)  # (num_words, width)
    # A copy that lies as the second product reads it, which is 10 % faster than to read the first one across.
    kernel_and_ones = ops.concatenate(
        [ops.transpose(kernel), ops.ones((1, num_words), dtype)]
    )  # (width + 1, num_words)
    is_counted = ops.reshape(ops.arange(num_blocks * block_rows) < num_counted, (num_blocks, block_rows))

    def add(carry: Any, block: tuple[Any, Any]) -> tuple[Any, Any]:
        total, kernel_gradient, bias_gradient = carry
        rows, counted = block[0], ops.cast(block[1], "float32")  # (block_rows, width), (block_rows,)
        exponentials, shifts = _exponentials(
            kernel, bias, rows, is_safe
        )  # (num_words, block_rows), (block_rows,)
        gathered = ops.cast(ops.matmul(kernel_and_ones, exponentials), "float32")  # (width + 1, block_rows)
        totals = gathered[width]  # (block_rows,)
        scales = counted / totals  # (block_rows,)
        scaled = ops.cast(ops.cast(rows, "float32") * scales[:, None], dtype)  # (block_rows, width)
        kernel_gradient = _added(kernel_gradient, ops.matmul(exponentials, scaled))  # (num_words, width)
        # As a product of its own: one more column of the product before would cost more.
        bias_part = multiply(
            ops.cast(scales[None], dtype), exponentials, transpose_second=True
        )  # (1, num_words)
        bias_gradient += ops.cast(bias_part[0], "float32")  # (num_words,)
        total += ops.sum((ops.log(totals) + shifts) * counted)
        row_gradients = ops.cast(gathered[:width] * scales, states.dtype)  # (width, block_rows)
        return (total, kernel_gradient, bias_gradient), ops.transpose(row_gradients)

    start = (ops.zeros(()), ops.zeros((num_words, width)), ops.zeros((num_words,)))
    num_used = (num_counted + block_rows - 1) // block_rows
    (total, kernel_gradient, bias_gradient), row_gradients = scan_blocks(
        add, start, (blocks, is_counted), num_used, ((block_rows, width), states.dtype)
    )
    state_gradients = ops.reshape(row_gradients, (-1, width))[:num_rows]  # (num_rows, width)
    return total, (state_gradients, kernel_gradient, bias_gradient)


def _with_range(states: Any) -> Any:
    """Return the states in a dtype that can hold exponentials: they need the range of float32, as bfloat16 has it."""
    is_half = keras.backend.standardize_dtype(states.dtype) == "float16"
    return ops.cast(states, "bfloat16") if is_half else states


def _are_logits_safe(states: Any, kernel: Any, bias: Any) -> Any:
    """Say whether no logit can be too large for `exp`: none is larger than the product of the longest two vectors."""
    longest = [
        ops.sqrt(ops.max(ops.sum(ops.square(ops.cast(matrix, "float32")), axis=1)))
        for matrix in (states, kernel)
    ]
    return longest[0] * longest[1] + ops.max(ops.abs(bias)) < SAFE_LOGIT


def _exponentials(kernel: Any, bias: Any, rows: Any, is_safe: Any) -> tuple[Any, Any]:
    """Return `exp(logit - shift)`, (num_words, block_rows), and the shifts, float32, (block_rows,).

    Words come first: so the wide matrices are read as they lie in memory.
    """
    products = multiply(kernel, rows, transpose_second=True)  # (num_words, block_rows)
    # A shift changes nothing but what can be computed, and the largest logit costs a pass over all of them.
    shifts = ops.cond(
        is_safe,
        lambda: ops.zeros((rows.shape[0],)),
        lambda: ops.max(ops.cast(products, "float32") + bias[:, None], axis=0),
    )
    return _shifted_exponentials(products, bias, shifts), shifts


@compiled
def _shifted_exponentials(products: Any, bias: Any, shifts: Any) -> Any:
    logits = ops.cast(products, "float32") + bias[:, None]  # (num_words, block_rows)
    return ops.cast(ops.exp(logits - shifts), products.dtype)


@compiled
def _added(total: Any, part: Any) -> Any:
    return total + ops.cast(part, total.dtype)


@compiled
def _scaled(factor: Any, *parts: Any) -> tuple[Any, ...]:
    return tuple(ops.cast(ops.cast(part, "float32") * factor, part.dtype) for part in parts)


def _to_blocks(states: Any) -> Any:
    """Cut rows into blocks of one size, the last one filled up with rows of zeros."""
    num_rows, columns = states.shape
    block_rows = min(BLOCK_ROWS, num_rows)
    missing = -num_rows % block_rows
    return ops.reshape(ops.pad(states, ((0, missing), (0, 0))), (-1, block_rows, columns))
