"""The output layer that scores every word at full width."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from minigpt_pipeline.model.blocks import multiply
from minigpt_pipeline.model.cross_entropy import cross_entropies, cross_entropy_sum
from minigpt_pipeline.model.few_rows import Scores, arrange, make_blocks, score


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
class FullSoftmax(keras.layers.Layer):
    """Scores each word of the vocabulary by the product of its vector with the hidden state, plus its bias.

    Args:
        vocabulary_size: int. Number of words, padding and `[UNK]` included.
        tied: bool. Whether the words' vectors are those of an embedding, named by `tie`, instead of the layer's own
            ([Press and Wolf, 2017](https://arxiv.org/abs/1608.05859)).
        **kwargs: For `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        states: Compute dtype, `(..., embed_dim)`.

    Returns:
        Compute dtype, `(..., vocabulary_size)`: logits.
    """

    def __init__(self, vocabulary_size: int, tied: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.tied = tied

    def tie(self, embedding: keras.layers.Embedding) -> None:
        """Use the vectors of an embedding, where the layer is `tied`; they stay the embedding's own weight."""
        # A function, as Keras would save an attribute that is a layer twice.
        self._shared_kernel: Callable[[], Any] = lambda: embedding.embeddings

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make a vector and a bias for each word."""
        if not self.tied:
            self.own_kernel = self.add_weight(
                (self.vocabulary_size, input_shape[-1]), initializer="glorot_uniform", name="kernel"
            )
        self.bias = self.add_weight((self.vocabulary_size,), initializer="zeros", name="bias")
        super().build(input_shape)

    @property
    def kernel(self) -> Any:
        """The vectors of the words, float32, `(vocabulary_size, embed_dim)`."""
        return self._shared_kernel() if self.tied else self.own_kernel

    def call(self, states: Any) -> Any:
        """Score every word."""
        kernel = ops.cast(self.kernel, self.compute_dtype)
        return multiply(states, kernel, transpose_second=True) + ops.cast(self.bias, self.compute_dtype)

    def arrange_for_rows(self, is_excluded: Any) -> Any:
        """Lay the weights out for few rows at a time: once before many of them.

        Args:
            is_excluded: bool, `(vocabulary_size,)`: words that get a logit of -inf.

        Returns:
            `(embed_dim + 1, num_columns)`: see `few_rows.arrange`.
        """
        bias = ops.where(is_excluded, -math.inf, self.bias)  # (vocabulary_size,)
        return arrange(ops.cast(self.kernel, self.compute_dtype), bias)

    def score_rows(self, states: Any, arranged: Any) -> Scores:
        """Score every word for each state, `(num_rows, embed_dim)`, with what `arrange_for_rows` has returned."""
        return make_blocks(score(states, arranged))

    def find_zero(self, scores: Scores) -> Any:
        """Return, `(num_rows, 1)`, what `score_rows` gives a word whose logit is 0."""
        return ops.zeros_like(scores.maxima[:, :1])

    def cross_entropy_sum(self, states: Any, labels: Any, is_counted: Any) -> Any:
        """Sum `-ln p(label)` over the rows that count; see `cross_entropy.cross_entropy_sum`."""
        return cross_entropy_sum(states, *self._float32_weights(), labels, is_counted)

    def cross_entropies(self, states: Any, labels: Any) -> Any:
        """Return `-ln p(label)` of each row; see `cross_entropy.cross_entropies`."""
        return cross_entropies(states, *self._float32_weights(), labels)

    def _float32_weights(self) -> tuple[Any, Any]:
        return ops.copy(self.kernel), ops.copy(self.bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `(..., vocabulary_size)`."""
        return (*input_shape[:-1], self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config | {"vocabulary_size": self.vocabulary_size, "tied": self.tied}
