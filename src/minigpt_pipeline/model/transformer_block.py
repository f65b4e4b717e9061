"""One layer of the model: words gather from words, then each is worked on alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from minigpt_pipeline.model import few_rows
from minigpt_pipeline.model.blocks import compiled
from minigpt_pipeline.model.causal_self_attention import Cache, CausalSelfAttention

LAYER_NORMALIZATION_EPSILON = 1e-6  # of the published example


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
class TransformerBlock(keras.layers.Layer):
    """Causal self-attention and a feed-forward network, each with dropout, a residual sum and layer normalization.

    Post-norm normalizes after each sum, as the published example does. Pre-norm normalizes what each part reads: the
    sums run through all blocks untouched, and whoever reads the last one normalizes it.

    Args:
        num_heads: int. Number of attention heads.
        head_dim: int. Width of one head.
        feed_forward_dim: int. Width of the feed-forward network's hidden layer.
        dropout: float. Share that a training step drops, of the outputs of both parts.
        normalization: str. `post` or `pre`.
        activation: str. Of the feed-forward network's hidden layer: `relu`, or `gelu`, exact and not by tanh.
        rotary_length: int. Of the attention; see `CausalSelfAttention`.
        **kwargs: For `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: `(batch_size, length, embed_dim)`.
        training: bool. Whether to drop.

    Returns:
        Compute dtype, `(batch_size, length, embed_dim)`.

    References:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), sections 3.1 and 3.3;
        [Xiong et al., 2020](https://arxiv.org/abs/2002.04745): pre-norm;
        [Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1606.08415): GELU;
        [Text generation with a miniature GPT](https://keras.io/examples/generative/text_generation_with_miniature_gpt/).
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        feed_forward_dim: int,
        dropout: float = 0.1,
        *,
        normalization: str = "post",
        activation: str = "relu",
        rotary_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.feed_forward_dim = feed_forward_dim
        self.dropout = dropout
        self.normalization = normalization
        self.activation = activation
        self.rotary_length = rotary_length
        dtype = self.dtype_policy
        epsilon = LAYER_NORMALIZATION_EPSILON
        self.attention = CausalSelfAttention(
            num_heads, head_dim, rotary_length=rotary_length, dtype=dtype, name="attention"
        )
        self.attention_dropout = keras.layers.Dropout(dropout, dtype=dtype, name="attention_dropout")
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=epsilon, dtype=dtype, name="attention_norm"
        )
        self.expansion = keras.layers.Dense(feed_forward_dim, dtype=dtype, name="expansion")
        self.feed_forward_dropout = keras.layers.Dropout(dropout, dtype=dtype, name="feed_forward_dropout")
        self.feed_forward_norm = keras.layers.LayerNormalization(
            epsilon=epsilon, dtype=dtype, name="feed_forward_norm"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights; the feed-forward network leads back to the width of the inputs."""
        self.contraction = keras.layers.Dense(input_shape[-1], dtype=self.dtype_policy, name="contraction")
        self.attention.build(input_shape)
        self.attention_norm.build(input_shape)
        self.expansion.build(input_shape)
        self.contraction.build((*input_shape[:-1], self.feed_forward_dim))
        self.feed_forward_norm.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Gather, then work on each position alone."""
        read = self._normalize("pre", self.attention_norm, inputs)  # (batch_size, length, embed_dim)
        gathered = self.attention_dropout(self.attention(read, training=training), training=training)
        gathered = self._normalize("post", self.attention_norm, inputs + gathered)
        read = self._normalize("pre", self.feed_forward_norm, gathered)  # (batch_size, length, embed_dim)
        expanded = self._activate(self.expansion(read), training)  # (batch_size, length, feed_forward_dim)
        worked = self.contraction(expanded)  # (batch_size, length, embed_dim)
        worked = self.feed_forward_dropout(worked, training=training)
        return self._normalize("post", self.feed_forward_norm, gathered + worked)

    def step(self, inputs: Any, cache: Cache, positions: Any) -> tuple[Any, Cache]:
        """Do the same for the next word of each text; see `CausalSelfAttention.step`."""
        attention_norm = partial(few_rows.normalize, self.attention_norm)
        feed_forward_norm = partial(few_rows.normalize, self.feed_forward_norm)
        read = self._normalize("pre", attention_norm, inputs)  # (batch_size, 1, embed_dim)
        gathered, cache = self.attention.step(read, cache, positions)
        gathered = self._normalize("post", attention_norm, inputs + gathered)
        read = self._normalize("pre", feed_forward_norm, gathered)  # (batch_size, 1, embed_dim)
        expanded = self._activate(self.expansion(read))  # (batch_size, 1, feed_forward_dim)
        worked = self.contraction(expanded)  # (batch_size, 1, embed_dim)
        return self._normalize("post", feed_forward_norm, gathered + worked), cache

    def _normalize(self, place: str, norm: Callable[[Any], Any], states: Any) -> Any:
        """Normalize, where this is the block's place for it."""
        return norm(states) if place == self.normalization else states

    def _activate(self, expanded: Any, training: bool = False) -> Any:
        if training and self.activation == "gelu":
            return _gelu_in_one_pass(expanded)
        return keras.activations.get(self.activation)(expanded)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "feed_forward_dim": self.feed_forward_dim,
            "dropout": self.dropout,
            "normalization": self.normalization,
            "activation": self.activation,
            "rotary_length": self.rotary_length,
        }


@compiled
def _gelu_in_one_pass(expanded: Any) -> Any:
    """Return exact GELU; as a dozen passes over memory, there and back, it takes a fifth of a step."""
    activated = keras.activations.gelu(keras.ops.cast(expanded, "float32"), approximate=False)
    return keras.ops.cast(activated, expanded.dtype)
