"""How a word looks back at the words before it, and never ahead."""

import math
from typing import Any

import keras
from keras import ops


def causal_attention_mask(length: int) -> Any:
    """Say which words each word may look at: itself and those before it.

    Args:
        length: Number of positions.

    Returns:
        bool, `(1, 1, length, length)`, for `(batch, head, query, key)`; it broadcasts over batch and head.
    """
    positions = ops.arange(length)  # (length,)
    mask = positions[:, None] >= positions[None, :]  # (query, key)
    return mask[None, None]  # (1, 1, query, key)


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
class CausalSelfAttention(keras.layers.Layer):
    """Multi-head self-attention in which no position sees a later one.

    Args:
        num_heads: int. Number of attention heads.
        head_dim: int. Width of a head's queries, keys and values.
        dropout: float. Share of the attention weights that a training step drops.
        **kwargs: For `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: `(batch_size, length, embed_dim)`.
        training: bool. Whether to drop.

    Returns:
        Compute dtype, `(batch_size, length, embed_dim)`.

    References:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.2: `softmax(Q K^T / sqrt(head_dim)) V`.
    """

    def __init__(self, num_heads: int, head_dim: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.dropout = dropout
        width = num_heads * head_dim
        self.query_projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="query")
        self.key_projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="key")
        self.value_projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="value")
        self.weights_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="weights_dropout")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the projections; the last one leads back to the width of the inputs."""
        self.output_projection = keras.layers.Dense(input_shape[-1], dtype=self.dtype_policy, name="output")
        for projection in (self.query_projection, self.key_projection, self.value_projection):
            projection.build(input_shape)
        self.output_projection.build((*input_shape[:-1], self.num_heads * self.head_dim))
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Let every position gather from itself and from those before it."""
        length = ops.shape(inputs)[1]
        query = self._split_heads(self.query_projection(inputs))  # (batch, head, query, head_dim)
        key = self._split_heads(self.key_projection(inputs))  # (batch, head, key, head_dim)
        value = self._split_heads(self.value_projection(inputs))  # (batch, head, key, head_dim)

        scores = ops.matmul(query, ops.swapaxes(key, -1, -2))  # (batch, head, query, key)
        # The softmax is taken in float32: eight bits of bfloat16 are too few for a sum of exponentials.
        scores = ops.cast(scores, "float32") / math.sqrt(self.head_dim)
        scores = ops.where(causal_attention_mask(length), scores, -math.inf)
        weights = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)  # (batch, head, query, key)
        weights = self.weights_dropout(weights, training=training)

        gathered = ops.matmul(weights, value)  # (batch, head, query, head_dim)
        gathered = ops.swapaxes(gathered, 1, 2)  # (batch, query, head, head_dim)
        gathered = ops.reshape(
            gathered, (-1, length, self.num_heads * self.head_dim)
        )  # (batch, query, width)
        return self.output_projection(gathered)  # (batch, query, embed_dim)

    def _split_heads(self, projected: Any) -> Any:
        length = ops.shape(projected)[1]
        heads = ops.reshape(projected, (-1, length, self.num_heads, self.head_dim))
        return ops.swapaxes(heads, 1, 2)  # (batch, head, length, head_dim)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "dropout": self.dropout,
        }
