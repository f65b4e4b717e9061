"""What Keras has no common word for: compiled functions, products with a transpose, a loop that ends early."""

from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function as one with XLA, so that element-wise steps become one pass over memory.

    JAX compiles whole training steps anyway, and the function is left as it is.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)  # type: ignore[no-any-return]


def multiply(
    first: Any, second: Any, *, transpose_first: bool = False, transpose_second: bool = False
) -> Any:
    """Return the matrix product. TensorFlow, alone of the backends, copies a matrix that `keras.ops` transposes."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.matmul(first, second, transpose_a=transpose_first, transpose_b=transpose_second)
    first = keras.ops.swapaxes(first, -1, -2) if transpose_first else first
    second = keras.ops.swapaxes(second, -1, -2) if transpose_second else second
    return keras.ops.matmul(first, second)


def make_writable(shape: tuple[int, ...], dtype: str) -> Any:
    """Return zeros for `write_rows`: on TensorFlow memory of their own, which nothing shares."""
    if keras.backend.backend() != "tensorflow":
        return keras.ops.zeros(shape, dtype)
    import tensorflow as tf

    return tf.raw_ops.Empty(shape=shape, dtype=dtype, init=True)


def write_rows(matrix: Any, places: Any, rows: Any) -> Any:
    """Replace rows of a matrix that `make_writable` has made.

    TensorFlow copies a matrix for each update that it knows, which for a cache costs more than what reads it; here the
    memory is written in place.

    Args:
        matrix: `(num_rows, width)`; it is spent, and must not be used again.
        places: int, `(num_new,)`.
        rows: `(num_new, width)`.

    Returns:
        The matrix with the new rows.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.ops.scatter_update(matrix, places[:, None], rows)
    import tensorflow as tf

    return tf.raw_ops.InplaceUpdate(x=matrix, i=tf.cast(places, tf.int32), v=rows)


def scan_blocks(
    step: Callable[[Any, Any], tuple[Any, Any]],
    start: Any,
    blocks: Any,
    num_used: Any,
    output: tuple[tuple[int, ...], str],
) -> tuple[Any, Any]:
    """Take one step a block, one after another: two at once would share the cache that one block fills.

    Args:
        step: From what is carried, and a block of each of `blocks`, to what is carried on and the block's output.
        start: Tensors that are carried first.
        blocks: Tensors, `(num_blocks, ...)`, at least one.
        num_used: int32 scalar. Blocks from the first one on to work on. The output of the others is zero on TensorFlow,
            which does not work on them; JAX, whose loops have a fixed length, does.
        output: Shape and dtype of a block's output.

    Returns:
        What is carried last, and the outputs, `(num_blocks, *shape)`.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.ops.scan(step, start, blocks)  # type: ignore[no-any-return]
    import tensorflow as tf

    shape, dtype = output

    def work(number: Any, carry: Any, outputs: Any) -> tuple[Any, Any, Any]:
        carry, result = step(carry, tuple(part[number] for part in blocks))
        return number + 1, carry, outputs.write(number, result)

    num_blocks = blocks[0].shape[0]
    outputs = tf.TensorArray(dtype, num_blocks, element_shape=shape)
    _, carry, outputs = tf.while_loop(
        lambda number, *_: number < num_used, work, (0, start, outputs), parallel_iterations=1
    )
    return carry, outputs.stack()
