"""The output layer that spends less on rare words."""

import math
from typing import Any

import keras
from keras import ops

from minigpt_pipeline.model.blocks import multiply
from minigpt_pipeline.model.cross_entropy import cross_entropies, cross_entropy_sum
from minigpt_pipeline.model.few_rows import Scores, arrange, join_blocks, log_sum_exp, make_blocks, score


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
class AdaptiveSoftmax(keras.layers.Layer):
    """Chooses among the frequent words and "a rare one"; then, where that is it, among the rare words at less width.

    `p(word) = p_head(word)` for the first `num_frequent_words` words, else `p_head(rare) p_rare(word)`: the
    probabilities of all words sum to one. Words are in the order of their frequency, as the vocabulary's ids are.

    Args:
        vocabulary_size: int. Number of words, padding and `[UNK]` included.
        num_frequent_words: int. Words that are scored at full width.
        rare_word_dim: int. Width at which the others are scored.
        **kwargs: For `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        states: Compute dtype, `(..., embed_dim)`.

    Returns:
        float32, `(..., vocabulary_size)`: logarithms of the probabilities, which serve as logits.

    References:
        [Grave et al., 2017](https://arxiv.org/abs/1609.04309), section 4.2, with one cluster of rare words.
    """

    def __init__(
        self, vocabulary_size: int, num_frequent_words: int, rare_word_dim: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < num_frequent_words < vocabulary_size:
            raise ValueError(
                f"num_frequent_words={num_frequent_words} must be at least 1 and less than the {vocabulary_size} words "
                "of the vocabulary: change it, or set output_layer to full, in conf/base/parameters_training.yml"
            )
        self.vocabulary_size = vocabulary_size
        self.num_frequent_words = num_frequent_words
        self.rare_word_dim = rare_word_dim

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the vectors of the frequent words and of "a rare one", and the narrow ones of the rare words."""
        width, num_rare = input_shape[-1], self.vocabulary_size - self.num_frequent_words
        self.head_kernel = self._add_kernel((self.num_frequent_words + 1, width), "head_kernel")
        self.head_bias = self.add_weight(
            (self.num_frequent_words + 1,), initializer="zeros", name="head_bias"
        )
        self.projection = self._add_kernel((width, self.rare_word_dim), "projection")
        self.rare_kernel = self._add_kernel((num_rare, self.rare_word_dim), "rare_kernel")
        self.rare_bias = self.add_weight((num_rare,), initializer="zeros", name="rare_bias")
        super().build(input_shape)

    def _add_kernel(self, shape: tuple[int | None, ...], name: str) -> Any:
        return self.add_weight(shape, initializer="glorot_uniform", name=name)

    def call(self, states: Any) -> Any:
        """Return the log-probability of every word."""
        head = self._log_softmax(states, self.head_kernel, self.head_bias)  # (..., num_frequent_words + 1)
        rare = self._log_softmax(self._project(states), self.rare_kernel, self.rare_bias)  # (..., num_rare)
        return ops.concatenate([head[..., :-1], head[..., -1:] + rare], axis=-1)  # (..., vocabulary_size)

    def _log_softmax(self, states: Any, kernel: Any, bias: Any) -> Any:
        logits = multiply(states, ops.cast(kernel, self.compute_dtype), transpose_second=True)
        return ops.log_softmax(ops.cast(logits, "float32") + bias, axis=-1)

    def _project(self, states: Any) -> Any:
        return ops.matmul(states, ops.cast(self.projection, self.compute_dtype))  # (..., rare_word_dim)

    def arrange_for_rows(self, is_excluded: Any) -> tuple[Any, Any]:
        """Lay the weights out for few rows at a time; see `FullSoftmax.arrange_for_rows`.

        Returns:
            Frequent words, whose logits "a rare one" is taken from, `(embed_dim + 2, num_columns)`: the last row are
            ones; and rare words, `(rare_word_dim + 1, num_columns)`.
        """
        num_frequent = self.num_frequent_words
        kernel = self.head_kernel[:-1] - self.head_kernel[-1:]  # (num_frequent_words, embed_dim)
        bias = self.head_bias[:-1] - self.head_bias[-1]  # (num_frequent_words,)
        bias = ops.where(is_excluded[:num_frequent], -math.inf, bias)
        rare_bias = ops.where(is_excluded[num_frequent:], -math.inf, self.rare_bias)  # (num_rare,)
        head = arrange(ops.cast(kernel, self.compute_dtype), bias)  # (embed_dim + 1, num_columns)
        return (
            ops.pad(head, ((0, 1), (0, 0)), constant_values=1),
            arrange(ops.cast(self.rare_kernel, self.compute_dtype), rare_bias),
        )

    def score_rows(self, states: Any, arranged: tuple[Any, Any]) -> Scores:
        """Score every word for each state, `(num_rows, embed_dim)`, with what `arrange_for_rows` has returned."""
        rare = make_blocks(score(self._project(states), arranged[1]), self.num_frequent_words)
        # `ln p_head(word)` and `ln p_head(rare) + ln p_rare(word)`, both with `ln sum exp` of the rare ones added and
        # "a rare one" taken away: a shift of a whole row changes nothing. It is the last term of the product.
        shifts = ops.cast(log_sum_exp(rare), self.compute_dtype)  # (num_rows, 1)
        frequent = score(states, arranged[0], shifts)  # (num_rows, num_columns)
        return join_blocks(make_blocks(frequent), rare)

    def find_zero(self, scores: Scores) -> Any:
        """Return, `(num_rows, 1)`, what `score_rows` would give a word of probability 1 among those that it scores."""
        return log_sum_exp(scores)

    def cross_entropy_sum(self, states: Any, labels: Any, is_counted: Any) -> Any:
        """Sum `-ln p(label)` over the rows that count; see `cross_entropy.cross_entropy_sum`."""
        is_rare = ops.logical_and(is_counted, labels >= self.num_frequent_words)  # (num_rows,)
        head = cross_entropy_sum(states, *self._head(), self._head_labels(labels), is_counted)
        rare_labels = labels - self.num_frequent_words  # (num_rows,)
        return head + cross_entropy_sum(self._project(states), *self._rare(), rare_labels, is_rare)

    def cross_entropies(self, states: Any, labels: Any) -> Any:
        """Return `-ln p(label)` of each row; see `cross_entropy.cross_entropies`."""
        head = cross_entropies(states, *self._head(), self._head_labels(labels))  # (num_rows,)
        rare_labels = ops.maximum(labels - self.num_frequent_words, 0)  # (num_rows,)
        rare = cross_entropies(self._project(states), *self._rare(), rare_labels)  # (num_rows,)
        return head + ops.where(labels >= self.num_frequent_words, rare, 0.0)

    def _head_labels(self, labels: Any) -> Any:
        """Let "a rare one", the last of the head's words, stand for every rare word."""
        return ops.minimum(labels, self.num_frequent_words)

    def _head(self) -> tuple[Any, Any]:
        return ops.copy(self.head_kernel), ops.copy(self.head_bias)

    def _rare(self) -> tuple[Any, Any]:
        return ops.copy(self.rare_kernel), ops.copy(self.rare_bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `(..., vocabulary_size)`."""
        return (*input_shape[:-1], self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "vocabulary_size": self.vocabulary_size,
            "num_frequent_words": self.num_frequent_words,
            "rare_word_dim": self.rare_word_dim,
        }
