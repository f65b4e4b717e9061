"""How a word looks back at the words before it, and never ahead."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from minigpt_pipeline.model.blocks import make_writable, write_rows
from minigpt_pipeline.model.rotary_positions import make_rotations, rotate

Cache = tuple[Any, Any]
"""Keys and values of the words so far, each `(batch_size, head, context, head_dim)`, by position."""


def causal_attention_mask(length: int, positions: Any = None) -> Any:
    """Say which words each word may look at: itself and those before it.

    Args:
        length: Number of positions that can be looked at.
        positions: int32, `(batch, query)`: where the looking words stand; null means at every position.

    Returns:
        bool, `(batch, 1, query, key)`, or `(1, 1, length, length)` for every position; it broadcasts over the rest of
        `(batch, head, query, key)`.
    """
    keys = ops.arange(length, dtype="int32")  # (key,)
    queries = keys[None] if positions is None else positions  # (batch, query)
    return queries[:, None, :, None] >= keys  # (batch, 1, query, key)


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
class CausalSelfAttention(keras.layers.Layer):
    """Multi-head self-attention in which no position sees a later one.

    Args:
        num_heads: int. Number of attention heads.
        head_dim: int. Width of a head's queries, keys and values.
        dropout: float. Share of the attention weights that a training step drops.
        rotary_length: int. Longest input, in tokens, where queries and keys are rotated by their places; null means
            that they are not. Rotated heads have an even width.
        **kwargs: For `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: `(batch_size, length, embed_dim)`.
        training: bool. Whether to drop.

    Returns:
        Compute dtype, `(batch_size, length, embed_dim)`. `step` gives the same word by word.

    References:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.2: `softmax(Q K^T / sqrt(head_dim)) V`;
        [Su et al., 2021](https://arxiv.org/abs/2104.09864): rotary positions.
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        dropout: float = 0.0,
        rotary_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.dropout = dropout
        self.rotary_length = rotary_length
        self.weights_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="weights_dropout")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the projections: into queries, keys and values as one product, and back to the width of the inputs."""
        embed_dim: Any = input_shape[-1]
        width = self.num_heads * self.head_dim
        # Glorot's scale for three matrices that lie side by side, and not for the one that holds them.
        scale = (embed_dim + 3 * width) / (embed_dim + width)
        self.input_projection = keras.layers.Dense(
            3 * width,
            kernel_initializer=keras.initializers.VarianceScaling(scale, "fan_avg", "uniform"),
            dtype=self.dtype_policy,
            name="query_key_value",
        )
        self.output_projection = keras.layers.Dense(embed_dim, dtype=self.dtype_policy, name="output")
        self.input_projection.build(input_shape)
        self.output_projection.build((*input_shape[:-1], width))
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Let every position gather from itself and from those before it."""
        length = ops.shape(inputs)[1]
        projected = self.input_projection(inputs)  # (batch, length, 3 * head * head_dim)
        heads = ops.reshape(projected, (-1, length, 3, self.num_heads, self.head_dim))
        query, key, value = ops.unstack(
            ops.transpose(heads, (2, 0, 3, 1, 4))
        )  # each (batch, head, length, head_dim)
        places = ops.arange(length, dtype="int32")  # (length,)
        query, key = self._rotate(query, places), self._rotate(key, places)
        mask = causal_attention_mask(length)  # (1, 1, query, key)
        gathered = self._attend(query, key, value, mask, training)  # (batch, length, width)
        return self.output_projection(gathered)  # (batch, length, embed_dim)

    def step(self, inputs: Any, cache: Cache, positions: Any) -> tuple[Any, Cache]:
        """Let the next word of each text gather from itself and from those before it, which are remembered.

        Args:
            inputs: `(batch_size, 1, embed_dim)`.
            cache: What `make_cache` or the step before returned; it is spent, and must not be used again.
            positions: int32, `(batch_size,)`: where the word stands. What was remembered of this place is replaced, and
                nothing later is looked at.

        Returns:
            `(batch_size, 1, embed_dim)`, and the cache with the word in it.
        """
        projected = self.input_projection(inputs)  # (batch, 1, 3 * head * head_dim)
        query, key, value = (
            ops.reshape(part, (-1, self.num_heads, 1, self.head_dim))
            for part in ops.split(projected, 3, axis=-1)
        )  # each (batch, head, 1, head_dim)
        places = positions[:, None, None]  # (batch, 1, 1)
        query, key = self._rotate(query, places), self._rotate(key, places)
        keys, values = (
            _remember(memory, new, positions) for memory, new in zip(cache, (key, value), strict=True)
        )  # each (batch, head, context, head_dim)
        mask = causal_attention_mask(keys.shape[2], positions[:, None])  # (batch, 1, 1, context)
        gathered = self._attend(query, keys, values, mask)  # (batch, 1, width)
        return self.output_projection(gathered), (keys, values)

    def make_cache(self, batch_size: int, length: int) -> Cache:
        """Return the memory of `length` words of each text, with none in it yet."""
        shape = (batch_size, self.num_heads, length, self.head_dim)
        return make_writable(shape, self.compute_dtype), make_writable(shape, self.compute_dtype)

    def resize_cache(self, cache: Cache, length: int) -> Cache:
        """Return the memory with room for `length` words of each text; it is spent, and must not be used again."""
        widths = ((0, 0), (0, 0), (0, max(length - cache[0].shape[2], 0)), (0, 0))
        keys, values = (ops.pad(memory, widths)[:, :, :length] for memory in cache)
        return keys, values

    def _rotate(self, heads: Any, places: Any) -> Any:
        """Rotate queries or keys, `(batch, head, length, head_dim)`; places: `(length,)`, or `(batch, 1, length)`."""
        if self.rotary_length is None:
            return heads
        return rotate(heads, ops.take(make_rotations(self.rotary_length, self.head_dim), places, axis=0))

    def _attend(self, query: Any, key: Any, value: Any, mask: Any, training: bool = False) -> Any:
        scores = ops.matmul(query, ops.swapaxes(key, -1, -2))  # (batch, head, query, key)
        # The softmax is taken in float32: eight bits of bfloat16 are too few for a sum of exponentials.
        scores = ops.cast(scores, "float32") / math.sqrt(self.head_dim)
        scores = ops.where(mask, scores, -math.inf)
        weights = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)  # (batch, head, query, key)
        weights = self.weights_dropout(weights, training=training)

        gathered = ops.matmul(weights, value)  # (batch, head, query, head_dim)
        gathered = ops.swapaxes(gathered, 1, 2)  # (batch, query, head, head_dim)
        return ops.reshape(
            gathered, (-1, ops.shape(gathered)[1], self.num_heads * self.head_dim)
        )  # (batch, query, width)

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
            "rotary_length": self.rotary_length,
        }


def _remember(memory: Any, new: Any, positions: Any) -> Any:
    """Write a new word, `(batch, head, 1, head_dim)`, into the memory, `(batch, head, context, head_dim)`."""
    batch_size, num_heads, context, head_dim = memory.shape
    first = context * np.arange(batch_size * num_heads, dtype="int32").reshape(batch_size, num_heads)
    places = ops.reshape(first + positions[:, None], (-1,))  # (batch * head,)
    words = ops.reshape(memory, (-1, head_dim))  # (batch * head * context, head_dim)
    return ops.reshape(write_rows(words, places, ops.reshape(new, (-1, head_dim))), memory.shape)
