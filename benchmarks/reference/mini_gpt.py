"""The published example "Text generation with a miniature GPT" in plain Keras, as its readers would write it today.

Our own writing, of Keras' own layers, loss, optimizer, `fit` and `predict` with their defaults. It knows nothing of the
project, and does what the example does: padding is embedded, attended to, given logits and scored like a word.

References:
    [The example](https://keras.io/examples/generative/text_generation_with_miniature_gpt/).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.reference.example_sizes import (
    EMBED_DIM,
    FEED_FORWARD_DIM,
    NUM_HEADS,
    SEQUENCE_LENGTH,
    TOP_K,
    VOCABULARY_SIZE,
)


class TokenAndPositionEmbedding(keras.layers.Layer):
    """Adds a vector for each word and a vector for each place."""

    def __init__(self, sequence_length: int, vocabulary_size: int, embed_dim: int) -> None:
        super().__init__()
        self.token_embedding = keras.layers.Embedding(vocabulary_size, embed_dim)
        self.position_embedding = keras.layers.Embedding(sequence_length, embed_dim)

    def call(self, token_ids: Any) -> Any:
        """Turn (batch, length) into (batch, length, embed_dim)."""
        positions = ops.arange(ops.shape(token_ids)[-1])
        return self.token_embedding(token_ids) + self.position_embedding(positions)


class TransformerBlock(keras.layers.Layer):
    """Attention and a feed-forward network, each with dropout, a sum and a normalization after it."""

    def __init__(self, embed_dim: int, num_heads: int, feed_forward_dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(num_heads, key_dim=embed_dim)
        self.feed_forward = keras.Sequential(
            [keras.layers.Dense(feed_forward_dim, activation="relu"), keras.layers.Dense(embed_dim)]
        )
        self.attention_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.feed_forward_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.attention_dropout = keras.layers.Dropout(dropout)
        self.feed_forward_dropout = keras.layers.Dropout(dropout)

    def call(self, inputs: Any) -> Any:
        """Keep (batch, length, embed_dim)."""
        attended = self.attention_dropout(self.attention(inputs, inputs, use_causal_mask=True))
        attended = self.attention_norm(inputs + attended)
        worked = self.feed_forward_dropout(self.feed_forward(attended))
        return self.feed_forward_norm(attended + worked)


def create_model(
    vocabulary_size: int = VOCABULARY_SIZE,
    sequence_length: int = SEQUENCE_LENGTH,
    embed_dim: int = EMBED_DIM,
    num_heads: int = NUM_HEADS,
    feed_forward_dim: int = FEED_FORWARD_DIM,
) -> keras.Model:
    """Make and compile the example's model.

    Returns:
        A model from token ids, int32 (batch, sequence_length), to logits, float32 (batch, sequence_length,
        vocabulary_size).
    """
    inputs = keras.Input((sequence_length,), dtype="int32")
    states = TokenAndPositionEmbedding(sequence_length, vocabulary_size, embed_dim)(inputs)
    states = TransformerBlock(embed_dim, num_heads, feed_forward_dim)(states)
    logits = keras.layers.Dense(vocabulary_size)(states)
    model = keras.Model(inputs, logits)
    model.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def generate(
    model: keras.Model, prompt: Sequence[int], num_tokens: int, rng: np.random.Generator
) -> list[int]:
    """Write a text as the example's callback does: the whole window goes through `predict` for each new token.

    Args:
        model: What `create_model` returns.
        prompt: Token ids, one at least.
        num_tokens: How many to write.
        rng: Draws among the ten most probable.

    Returns:
        The new token ids, (num_tokens,).
    """
    sequence_length = model.input_shape[1]
    text = list(prompt)
    for _ in range(num_tokens):
        window = text[-sequence_length:]
        padded = np.array([window + [0] * (sequence_length - len(window))])  # (1, sequence_length)
        logits = model.predict(padded, verbose=0)[0, len(window) - 1]  # (vocabulary_size,)
        values, token_ids = ops.top_k(logits, TOP_K)
        probabilities = np.asarray(ops.softmax(values), dtype="float64")
        text.append(int(rng.choice(np.asarray(token_ids), p=probabilities / probabilities.sum())))
    return text[len(prompt) :]
