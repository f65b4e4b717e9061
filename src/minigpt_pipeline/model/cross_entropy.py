"""`-ln softmax(states @ kernel.T + bias)[label]`, without ever holding all logits."""

from typing import Any

from keras import ops

from minigpt_pipeline.model.log_normalizers import log_normalizers, sum_log_normalizers


def cross_entropy_sum(states: Any, kernel: Any, bias: Any, labels: Any, is_counted: Any) -> Any:
    """Sum over the rows that count; the others cost nothing.

    Args:
        states: Compute dtype, `(num_rows, width)`.
        kernel: float32, `(num_words, width)`.
        bias: float32, `(num_words,)`.
        labels: int32, `(num_rows,)`, from 0 to `num_words - 1` where the row counts.
        is_counted: bool, `(num_rows,)`.

    Returns:
        float32 scalar, in nats, with exact gradients for states, kernel and bias.
    """
    order = ops.argsort(ops.cast(ops.logical_not(is_counted), "int32"))  # (num_rows,), rows that count first
    states, is_counted = ops.take(states, order, axis=0), ops.take(is_counted, order)
    labels = ops.where(is_counted, ops.take(labels, order), 0)
    num_counted = ops.sum(ops.cast(is_counted, "int32"))
    label_logits = _label_logits(states, kernel, bias, labels) * ops.cast(is_counted, "float32")
    return sum_log_normalizers(states, kernel, bias, num_counted) - ops.sum(label_logits)


def cross_entropies(states: Any, kernel: Any, bias: Any, labels: Any) -> Any:
    """Score each row; for measuring, where no gradient is asked for.

    Args:
        states: Compute dtype, `(num_rows, width)`.
        kernel: float32, `(num_words, width)`.
        bias: float32, `(num_words,)`.
        labels: int32, `(num_rows,)`, from 0 to `num_words - 1`.

    Returns:
        float32, `(num_rows,)`, in nats.
    """
    return log_normalizers(states, kernel, bias) - _label_logits(states, kernel, bias, labels)


def _label_logits(states: Any, kernel: Any, bias: Any, labels: Any) -> Any:
    label_kernels = ops.cast(ops.take(kernel, labels, axis=0), states.dtype)  # (num_rows, width)
    label_biases = ops.cast(ops.take(bias, labels), states.dtype)  # (num_rows,)
    products = ops.cast(states, "float32") * ops.cast(label_kernels, "float32")  # (num_rows, width)
    return ops.sum(products, axis=-1) + ops.cast(label_biases, "float32")  # (num_rows,)
