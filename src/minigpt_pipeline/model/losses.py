"""What training makes small: the negative log-likelihood of the words, padding left out."""

from typing import Any

from keras import ops

from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.text.vocabulary import PADDING_ID


def loss_of_batch(
    model: MiniGPT, inputs: Any, labels: Any, training: bool = False, learn_ends: bool = False
) -> tuple[Any, Any]:
    """Score a model on a batch. Sums, so that batches can be added up before the mean is taken.

    Args:
        model: The model.
        inputs: int32, `(batch_size, length)`.
        labels: int32, `(batch_size, length)`: the word after each input; 0 is padding, which counts nothing.
        training: Whether to drop.
        learn_ends: Whether a label 0 behind a word counts: the end of a review.

    Returns:
        Two float32 scalars: the sum of `-ln p(label)` over the labels that count, in nats, and their number.
    """
    states = model.hidden_states(inputs, training=training)  # (batch_size, length, embed_dim)
    states = ops.reshape(states, (-1, model.embed_dim))  # (batch_size * length, embed_dim)
    is_counted = ops.reshape(mark_words(inputs, labels, learn_ends), (-1,))  # (batch_size * length,)
    flat_labels = ops.reshape(labels, (-1,))  # (batch_size * length,)
    loss_sum = model.output_layer.cross_entropy_sum(states, flat_labels, is_counted)
    return loss_sum, count_words(inputs, labels, learn_ends)


def mark_words(inputs: Any, labels: Any, learn_ends: bool = False) -> Any:
    """Say which labels count, bool, `(batch_size, length)`; see `loss_of_batch`."""
    is_word = ops.not_equal(labels, PADDING_ID)
    return ops.logical_or(is_word, ops.not_equal(inputs, PADDING_ID)) if learn_ends else is_word


def count_words(inputs: Any, labels: Any, learn_ends: bool = False) -> Any:
    """Return how many labels count, float32; see `loss_of_batch`."""
    return ops.sum(ops.cast(mark_words(inputs, labels, learn_ends), "float32"))
