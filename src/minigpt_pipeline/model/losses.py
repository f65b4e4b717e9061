"""What training makes small: the mean negative log-likelihood of the words, padding left out."""

import math
from typing import Any

from keras import ops

from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.text.vocabulary import PADDING_ID


def loss_of_batch(model: MiniGPT, inputs: Any, labels: Any, training: bool = False) -> tuple[Any, Any]:
    """Score a model on a batch. Sums, so that batches can be added up before the mean is taken.

    The output layer, by far the largest part of the work, is applied here and nowhere else in training.

    Args:
        model: The model.
        inputs: int32, `(batch_size, length)`.
        labels: int32, `(batch_size, length)`: the word after each input; 0 is padding, which counts nothing.
        training: Whether to drop.

    Returns:
        Two float32 scalars: the sum of `-ln p(word)` over the words, in nats, and the number of words.
    """
    states = model.hidden_states(inputs, training=training)  # (batch_size, length, embed_dim)
    states = ops.reshape(states, (-1, model.embed_dim))  # (batch_size * length, embed_dim)
    labels = ops.reshape(labels, (-1,))  # (batch_size * length,)
    logits = model.output_layer(states)  # (batch_size * length, vocabulary_size)
    is_word = ops.cast(ops.not_equal(labels, PADDING_ID), "float32")  # (batch_size * length,)
    return ops.sum(negative_log_likelihood(logits, labels) * is_word), ops.sum(is_word)


def negative_log_likelihood(logits: Any, labels: Any) -> Any:
    """Return `-ln softmax(logits)[label]` of each row, in nats, computed in float32.

    The gradient, `softmax(logits) - one_hot(label)`, is written out: the exponentials of the way there serve for the
    way back too. With 20,000 words the logits of a batch take 0.8 GB, and every pass over them counts. The library's
    own loss takes more of them, and yet more where determinism is asked for.

    Args:
        logits: `(num_rows, vocabulary_size)`.
        labels: int32, `(num_rows,)`.

    Returns:
        float32, `(num_rows,)`.
    """
    num_rows = ops.shape(logits)[0]
    at_label = ops.stack([ops.arange(num_rows, dtype="int32"), labels], axis=1)  # (num_rows, 2)

    @ops.custom_gradient
    def from_logits(logits: Any) -> tuple[Any, Any]:
        largest = ops.max(logits, axis=-1, keepdims=True)  # (num_rows, 1)
        exponentials = ops.exp(logits - largest)  # (num_rows, vocabulary_size)
        total = ops.sum(exponentials, axis=-1, keepdims=True)  # (num_rows, 1)
        label_logits = ops.take_along_axis(logits, labels[:, None], axis=-1)  # (num_rows, 1)
        losses = ops.squeeze(ops.log(total) + largest - label_logits, axis=-1)  # (num_rows,)

        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream  # (num_rows,)
            gradients = exponentials * (upstream[:, None] / total)  # (num_rows, vocabulary_size)
            label_gradients = ops.take_along_axis(gradients, labels[:, None], axis=-1)[:, 0] - upstream
            return ops.scatter_update(gradients, at_label, label_gradients)

        return losses, gradient

    return from_logits(ops.cast(logits, "float32"))


def perplexity(loss: float) -> float:
    """Return exp of a mean loss in nats; infinite where a float can't hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
