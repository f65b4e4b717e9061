"""The whole model."""

from typing import Any, Self

import keras
import numpy as np

from minigpt_pipeline.model import few_rows
from minigpt_pipeline.model.adaptive_softmax import AdaptiveSoftmax
from minigpt_pipeline.model.causal_self_attention import Cache
from minigpt_pipeline.model.few_rows import Scores
from minigpt_pipeline.model.full_softmax import FullSoftmax
from minigpt_pipeline.model.token_and_position_embedding import TokenAndPositionEmbedding
from minigpt_pipeline.model.transformer_block import LAYER_NORMALIZATION_EPSILON, TransformerBlock
from minigpt_pipeline.parameters import ModelParameters
from minigpt_pipeline.text.vocabulary import PADDING_ID, UNKNOWN_ID


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
class MiniGPT(keras.Model):
    """A miniature GPT: from the words so far to the logits of the next word, at every position at once.

    Args:
        vocabulary_size: int. Number of words, padding and `[UNK]` included.
        sequence_length: int. Context, in tokens.
        embed_dim: int. Width of the hidden states.
        num_heads: int. Attention heads of a block.
        head_dim: int. Width of one head.
        feed_forward_dim: int. Width of the feed-forward networks' hidden layer.
        num_blocks: int. Number of transformer blocks.
        dropout: float. Share that a training step drops.
        output_layer: str. `full` scores every word at full width (`FullSoftmax`), `adaptive` spends less on rare words
            (`AdaptiveSoftmax`).
        num_frequent_words: int. Of an adaptive output layer: words that are scored at full width.
        rare_word_dim: int. Of an adaptive output layer: width at which the others are scored.
        tied_embeddings: bool. Whether a full output layer shares the vectors of the token embedding.
        normalization: str. `post` (after each sum) or `pre` (before each part of a block, and before the output layer).
        positions: str. How a word's place is told: `learned` (a vector for each place) or `rotary` (queries and keys
            are rotated).
        activation: str. Of the feed-forward networks: `relu` or `gelu`.
        unknown_id: int. Id of `[UNK]`, which is never written; null where there is none.
        dtype: str or `keras.DTypePolicy`. Precision of the computation; null means the global policy.
        **kwargs: For `keras.Model`, such as `name`.

    Call arguments:
        token_ids: int32, `(batch_size, length)` with `length <= sequence_length`; words first, then padding (0).

    Returns:
        Compute dtype, `(batch_size, length, vocabulary_size)`: logits of the word after each position.

    Example:
        >>> model = MiniGPT(vocabulary_size=30, sequence_length=8, embed_dim=16, num_heads=2, head_dim=8,
        ...                 feed_forward_dim=32, num_blocks=1, dropout=0.1)
        >>> model(np.array([[2, 3, 4]])).shape
        TensorShape([1, 3, 30])

    References:
        [Radford et al., 2018](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf);
        [Text generation with a miniature GPT](https://keras.io/examples/generative/text_generation_with_miniature_gpt/).
    """

    def __init__(  # noqa: PLR0913 -- the sizes of the model, by name
        self,
        *,
        vocabulary_size: int,
        sequence_length: int,
        embed_dim: int,
        num_heads: int,
        head_dim: int,
        feed_forward_dim: int,
        num_blocks: int,
        dropout: float,
        output_layer: str = "full",
        num_frequent_words: int = 0,
        rare_word_dim: int = 0,
        tied_embeddings: bool = False,
        normalization: str = "post",
        positions: str = "learned",
        activation: str = "relu",
        unknown_id: int | None = UNKNOWN_ID,
        dtype: str | keras.DTypePolicy | None = None,
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        self.embedding = TokenAndPositionEmbedding(
            vocabulary_size,
            sequence_length,
            embed_dim,
            has_positions=positions == "learned",
            dtype=dtype,
            name="embedding",
        )
        self.blocks = [
            TransformerBlock(
                num_heads,
                head_dim,
                feed_forward_dim,
                dropout,
                normalization=normalization,
                activation=activation,
                rotary_length=sequence_length if positions == "rotary" else None,
                dtype=dtype,
                name=f"block_{number}",
            )
            for number in range(num_blocks)
        ]
        self.final_norm = (
            keras.layers.LayerNormalization(
                epsilon=LAYER_NORMALIZATION_EPSILON, dtype=dtype, name="final_norm"
            )
            if normalization == "pre"
            else None
        )
        self.output_layer: FullSoftmax | AdaptiveSoftmax
        if output_layer == "adaptive":
            self.output_layer = AdaptiveSoftmax(
                vocabulary_size, num_frequent_words, rare_word_dim, dtype=dtype, name="output_layer"
            )
        else:
            self.output_layer = FullSoftmax(
                vocabulary_size, tied_embeddings, dtype=dtype, name="output_layer"
            )
            self.output_layer.tie(self.embedding.token_embedding)

        # === Functional graph ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        logits = self.output_layer(self.hidden_states(token_ids))
        super().__init__(inputs=token_ids, outputs=logits, dtype=dtype, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.sequence_length = sequence_length
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.feed_forward_dim = feed_forward_dim
        self.num_blocks = num_blocks
        self.dropout = dropout
        self.num_frequent_words = num_frequent_words
        self.rare_word_dim = rare_word_dim
        self.tied_embeddings = tied_embeddings
        self.normalization = normalization
        self.positions = positions
        self.activation = activation
        self.unknown_id = unknown_id

    def hidden_states(self, token_ids: Any, training: bool = False) -> Any:
        """Do all but the output layer, which costs most, so that it can be spent on chosen positions.

        Args:
            token_ids: int32, `(batch_size, length)`.
            training: Whether to drop.

        Returns:
            Compute dtype, `(batch_size, length, embed_dim)`: what `output_layer` turns into logits.
        """
        states = self.embedding(token_ids)
        for block in self.blocks:
            states = block(states, training=training)
        return self.final_norm(states) if self.final_norm else states

    def arrange_output_layer(self, may_end: bool = False) -> Any:
        """Lay the weights of the output layer out for `score_next_words`: once before many words are written.

        Args:
            may_end: Whether padding, which is the end of a review where the model has learnt it, gets its logit.
        """
        never_written = (self.unknown_id, None if may_end else PADDING_ID)
        excluded = [token_id for token_id in never_written if token_id is not None]
        is_excluded = np.isin(np.arange(self.vocabulary_size), excluded)
        return self.output_layer.arrange_for_rows(is_excluded)

    def score_next_words(self, states: Any, arranged: Any) -> Scores:
        """Spend the output layer on the words that are written next.

        Args:
            states: Compute dtype, `(num_rows, embed_dim)`.
            arranged: What `arrange_output_layer` has returned.

        Returns:
            The word after each. `[UNK]` has -inf, as it is never written; padding, too, unless texts may end.
        """
        return self.output_layer.score_rows(states, arranged)

    def step(self, token_ids: Any, caches: list[Cache], positions: Any) -> tuple[Any, list[Cache]]:
        """Read the next word of each text, with what is remembered of the words before it.

        Args:
            token_ids: int32, `(batch_size,)`.
            caches: What `make_caches` or the step before returned; they are spent, and must not be used again.
            positions: int32, `(batch_size,)`: where the word stands. Nothing later is looked at.

        Returns:
            Compute dtype, `(batch_size, embed_dim)`: what `hidden_states` gives at that position; and the new caches.
        """
        states = self.embedding(token_ids[:, None], positions[:, None])  # (batch_size, 1, embed_dim)
        extended = []
        for block, cache in zip(self.blocks, caches, strict=True):
            states, cache = block.step(states, cache, positions)  # noqa: PLW2901 -- (batch_size, 1, embed_dim)
            extended.append(cache)
        if self.final_norm:
            states = few_rows.normalize(self.final_norm, states)
        return states[:, 0], extended  # (batch_size, embed_dim)

    def make_caches(self, batch_size: int, length: int) -> list[Cache]:
        """Return a memory of `length` words for each block, with no word in it yet."""
        return [block.attention.make_cache(batch_size, length) for block in self.blocks]

    def resize_caches(self, caches: list[Cache], length: int) -> list[Cache]:
        """Return the memories with room for `length` words; they are spent, and must not be used again."""
        return [
            block.attention.resize_cache(cache, length)
            for block, cache in zip(self.blocks, caches, strict=True)
        ]

    def in_precision(self, dtype: str) -> Self:
        """Return a copy that computes in another precision; weights are float32 in every one of them.

        Args:
            dtype: `float32`, `mixed_bfloat16` or `mixed_float16`.
        """
        copy: Self = type(self).from_config(self.get_config() | {"dtype": dtype})
        copy.set_weights(self.get_weights())
        return copy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "vocabulary_size": self.vocabulary_size,
            "sequence_length": self.sequence_length,
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "feed_forward_dim": self.feed_forward_dim,
            "num_blocks": self.num_blocks,
            "dropout": self.dropout,
            "output_layer": "adaptive" if isinstance(self.output_layer, AdaptiveSoftmax) else "full",
            "num_frequent_words": self.num_frequent_words,
            "rare_word_dim": self.rare_word_dim,
            "tied_embeddings": self.tied_embeddings,
            "normalization": self.normalization,
            "positions": self.positions,
            "activation": self.activation,
            "unknown_id": self.unknown_id,
            "dtype": self.dtype_policy.name,
            "name": self.name,
        }


def create_model(
    parameters: ModelParameters, vocabulary_size: int, unknown_id: int | None = UNKNOWN_ID
) -> MiniGPT:
    """Make a model with fresh weights, in float32.

    Args:
        parameters: Its sizes.
        vocabulary_size: Number of tokens, padding and `[UNK]` included.
        unknown_id: Id of `[UNK]`; null where there is none.
    """
    return MiniGPT(
        vocabulary_size=vocabulary_size,
        sequence_length=parameters.sequence_length,
        embed_dim=parameters.embed_dim,
        num_heads=parameters.num_heads,
        head_dim=parameters.head_dim or parameters.embed_dim // parameters.num_heads,
        feed_forward_dim=parameters.feed_forward_dim,
        num_blocks=parameters.num_blocks,
        dropout=parameters.dropout,
        output_layer=parameters.output_layer,
        num_frequent_words=parameters.num_frequent_words or 0,
        rare_word_dim=parameters.rare_word_dim or 0,
        tied_embeddings=parameters.tied_embeddings,
        normalization=parameters.normalization,
        positions=parameters.positions,
        activation=parameters.activation,
        unknown_id=unknown_id,
        dtype="float32",
        name="mini_gpt",
    )
