"""Where words become vectors."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
class TokenAndPositionEmbedding(keras.layers.Layer):
    """Adds a learned vector for each word and a learned vector for each place in the context.

    A transformer sees its inputs as a set; the second vector tells it their order.

    Args:
        vocabulary_size: int. Number of words, padding and `[UNK]` included.
        sequence_length: int. Longest input, in tokens.
        embed_dim: int. Width of the vectors.
        has_positions: bool. Whether places have vectors; where attention rotates by them, they need none.
        **kwargs: For `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        token_ids: int32, `(batch_size, length)` with `length <= sequence_length`. Padding is embedded like a word:
            it stands after the words, and causal attention keeps them from seeing it.
        positions: int32, `(batch_size, length)`: the places of the tokens; null means from the first one on.

    Returns:
        Compute dtype, `(batch_size, length, embed_dim)`.

    References:
        [Radford et al., 2018](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf),
        section 3.1: learned position embeddings.
    """

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        embed_dim: int,
        has_positions: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.sequence_length = sequence_length
        self.embed_dim = embed_dim
        self.has_positions = has_positions
        self.token_embedding = keras.layers.Embedding(
            vocabulary_size, embed_dim, dtype=self.dtype_policy, name="token_embedding"
        )
        if has_positions:
            self.position_embedding = keras.layers.Embedding(
                sequence_length, embed_dim, dtype=self.dtype_policy, name="position_embedding"
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the tables of vectors."""
        self.token_embedding.build(input_shape)
        if self.has_positions:
            self.position_embedding.build(input_shape[1:])
        super().build(input_shape)

    def call(self, token_ids: Any, positions: Any = None) -> Any:
        """Embed the tokens."""
        token_vectors = self.token_embedding(token_ids)  # (batch_size, length, embed_dim)
        if not self.has_positions:
            return token_vectors
        if positions is None:
            positions = ops.arange(ops.shape(token_ids)[1], dtype="int32")  # (length,)
        position_vectors = self.position_embedding(
            positions
        )  # (length, embed_dim), or with batch_size before it
        return token_vectors + position_vectors  # (batch_size, length, embed_dim)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `(batch_size, length, embed_dim)`."""
        return (*input_shape, self.embed_dim)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "vocabulary_size": self.vocabulary_size,
            "sequence_length": self.sequence_length,
            "embed_dim": self.embed_dim,
            "has_positions": self.has_positions,
        }
