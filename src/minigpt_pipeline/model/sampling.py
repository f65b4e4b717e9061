"""How the next words are chosen from their logits."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt_pipeline.model.few_rows import BLOCK_WORDS, REGISTER, Scores
from minigpt_pipeline.parameters import SamplingParameters

RANKED_WORDS = (256, 2048)
"""Words that are put in order to find a nucleus: first few, which is quick, then more where these are too few."""


class Choice(NamedTuple):
    """`SamplingParameters` as numbers, one for all rows or one for each, so that no values need a program of their own.

    Args:
        temperature: float32, above 0: divides the logits.
        top_k: int32: only the k most probable words can be drawn; 0 means all.
        top_p: float32: of these only the most probable, as few as have this share; infinite means all.
        min_p: float32: of these only words with this share of the most probable one's probability; 0 means all.
        repetition_penalty: float32: see `repetition.lower_repeated`; 1 means none.
        no_repeat_ngram_size: int32: see `repetition.lower_repeated`; 0 means that all may be repeated.
    """

    temperature: Any
    top_k: Any
    top_p: Any
    min_p: Any
    repetition_penalty: Any
    no_repeat_ngram_size: Any

    @classmethod
    def from_parameters(cls, sampling: SamplingParameters) -> "Choice":
        """Take the parameters; temperature 0 is a draw from the single most probable word."""
        tiny = float(np.finfo(np.float32).tiny)  # what is smaller would be zero
        top_p = math.inf if sampling.top_p is None or sampling.top_p == 1 else max(sampling.top_p, tiny)
        return cls(
            temperature=np.float32(max(sampling.temperature, tiny)),
            top_k=np.int32(1 if sampling.temperature == 0 else sampling.top_k or 0),
            top_p=np.float32(top_p),
            min_p=np.float32(sampling.min_p or 0.0),
            repetition_penalty=np.float32(sampling.repetition_penalty or 1.0),
            no_repeat_ngram_size=np.int32(sampling.no_repeat_ngram_size or 0),
        )


def draw_words(scores: Scores, uniforms: Any, choice: Choice) -> Any:
    """Draw a word for each row: the one at which the cumulative probability passes the uniform number.

    Args:
        scores: Of the words.
        uniforms: float32, (rows,), from 0 to below 1.
        choice: Temperature; top-k ([Fan et al., 2018](https://arxiv.org/abs/1805.04833)), of equal logits the lower id
            first; top-p, the nucleus ([Holtzman et al., 2020](https://arxiv.org/abs/1904.09751)) of what top-k leaves;
            min-p ([Nguyen et al., 2024](https://arxiv.org/abs/2407.01082)) of what top-p leaves.

    Returns:
        int32, (rows,): ids. A row depends on its own logits, number and choice alone: what is added up is added word by
        word, so that what others need of the words behind changes nothing.
    """
    import tensorflow as tf

    num_columns = scores.maxima.shape[1] * BLOCK_WORDS
    temperature, top_k, top_p, min_p = (
        tf.reshape(setting, (-1, 1))
        for setting in (choice.temperature, choice.top_k, choice.top_p, choice.min_p)
    )  # (rows, 1) each, or (1, 1)

    def invert(weights: tf.Tensor) -> tf.Tensor:
        return _invert(_leave_out(weights, min_p), uniforms)  # (rows,)

    def draw_from_all() -> tf.Tensor:
        weights = _weigh(scores.join_parts(), temperature)  # (rows, num_columns)
        return _name_words(invert(weights), scores)  # (rows,)

    def draw_from_top_k() -> tf.Tensor:
        largest_k = tf.minimum(tf.reduce_max(top_k), num_columns)
        largest, words = rank_words(scores, largest_k)  # (rows, largest_k), in order
        largest = tf.where(tf.range(largest_k) < tf.maximum(top_k, 1), largest, -math.inf)
        whole_registers = [[0, 0], [0, -largest_k % REGISTER]]
        largest = tf.pad(largest, whole_registers, constant_values=-math.inf)  # (rows, num_ranked)
        weights = _weigh(largest, temperature)  # (rows, num_ranked)
        total = tf.cumsum(weights, axis=1)[:, -1:]  # (rows, 1)
        return tf.gather(words, invert(_nucleus(weights, top_p * total)), batch_dims=1)  # (rows,)

    def draw_from_nucleus() -> tf.Tensor:
        tiny = np.finfo(np.float32).tiny
        logits = scores.join_parts()  # (rows, num_columns)
        total = tf.reduce_sum(_weigh(logits, temperature), axis=1, keepdims=True)  # (rows, 1)
        share = tf.where(
            in_nucleus[:, None], top_p * total, tiny
        )  # of rows that draw otherwise one word is enough
        ranked = _Ranked(
            logits,
            uniforms,
            tf.broadcast_to(temperature, tf.shape(total)),
            share,
            tf.broadcast_to(min_p, tf.shape(total)),
        )
        return _name_words(_draw_ranked(ranked, RANKED_WORDS), scores)  # (rows,)

    in_top_k = top_k[:, 0] > 0  # (rows,)
    in_nucleus = ~in_top_k & tf.math.is_finite(top_p[:, 0])  # (rows,)
    words = tf.zeros_like(uniforms, tf.int32)  # (rows,)
    for are_these, draw in (
        (in_top_k, draw_from_top_k),
        (in_nucleus, draw_from_nucleus),
        (~in_top_k & ~in_nucleus, draw_from_all),
    ):
        words = tf.cond(
            tf.reduce_any(are_these),
            lambda these=are_these, draw=draw, others=words: tf.where(these, draw(), others),
            lambda others=words: others,
        )
    return words


def rank_words(scores: Scores, count: Any) -> tuple[Any, Any]:
    """Find the most probable words, of equals the one with the lower id.

    Each is in one of the blocks with the largest maxima, of equals the earlier block, and as many blocks as words are
    enough: every word of another block has so many before it.

    Args:
        scores: Of the words.
        count: int32 scalar, at most the number of columns.

    Returns:
        Logits, float32, and ids, int32, both (rows, count), in order.
    """
    import tensorflow as tf

    num_blocks = scores.maxima.shape[1]

    def rank_in_blocks() -> tuple[tf.Tensor, tf.Tensor]:
        _, blocks = tf.math.top_k(scores.maxima, count)  # (rows, count)
        blocks = tf.sort(blocks, axis=1)  # so that words stay in the order of their ids
        candidates = scores.take_blocks(blocks)  # (rows, count, BLOCK_WORDS)
        largest, places = tf.math.top_k(tf.reshape(candidates, (-1, count * BLOCK_WORDS)), count)
        columns = BLOCK_WORDS * tf.gather(blocks, places // BLOCK_WORDS, batch_dims=1) + places % BLOCK_WORDS
        return largest, columns  # (rows, count) each

    def rank_all() -> tuple[tf.Tensor, tf.Tensor]:
        return tuple(tf.math.top_k(scores.join_parts(), count))

    largest, columns = tf.cond(count < num_blocks, rank_in_blocks, rank_all)  # (rows, count) each
    return largest, _name_words(columns, scores)


def _name_words(columns: Any, scores: Scores) -> Any:
    """Return the ids of the words in columns, int32."""
    import tensorflow as tf

    return tf.gather(scores.first_words, columns // BLOCK_WORDS) + columns % BLOCK_WORDS


def _weigh(logits: Any, temperature: Any) -> Any:
    """Return probabilities up to a factor, (rows, k): the largest of a row is 1."""
    import tensorflow as tf

    largest = tf.reduce_max(logits, axis=1, keepdims=True)  # (rows, 1)
    return tf.exp((logits - largest) / temperature)


class _Ranked(NamedTuple):
    """Rows that draw from the most probable words.

    Args:
        logits: float32, (rows, num_columns).
        uniforms: float32, (rows,).
        temperature: float32, (rows, 1).
        share: float32, (rows, 1): what the weights of the words have to reach.
        min_p: float32, (rows, 1).
    """

    logits: Any
    uniforms: Any
    temperature: Any
    share: Any
    min_p: Any


def _draw_ranked(rows: _Ranked, counts: Sequence[int]) -> Any:
    """Draw from the nucleus of each row; the few that need many words to reach their share are ranked again.

    Args:
        rows: What is drawn from.
        counts: Words that are ranked first, then of the rows for which these are too few, and so on; then all.

    Returns:
        int32, (rows,): columns.
    """
    import tensorflow as tf

    num_columns = rows.logits.shape[1]
    count = min(counts[0], num_columns) if counts else num_columns
    largest, columns = tf.math.top_k(rows.logits, count)  # (rows, count)
    weights = _weigh(largest, rows.temperature)  # (rows, count)
    places = _invert(_leave_out(_nucleus(weights, rows.share), rows.min_p), rows.uniforms)  # (rows,)
    drawn = tf.gather(columns, places, batch_dims=1)  # (rows,)
    if count == num_columns:
        return drawn
    are_too_few = tf.cumsum(weights, axis=1)[:, -1] < rows.share[:, 0]  # (rows,)

    def draw_again() -> tf.Tensor:
        numbers = tf.where(are_too_few)  # (num_again, 1)
        again = _Ranked(*(tf.gather_nd(values, numbers) for values in rows))
        return tf.tensor_scatter_nd_update(drawn, numbers, _draw_ranked(again, counts[1:]))

    return tf.cond(tf.reduce_any(are_too_few), draw_again, lambda: drawn)


def _nucleus(weights: Any, share: Any) -> Any:
    """Return the weights, (rows, k), largest first, with 0 for all after those that reach the share, (rows, 1)."""
    import tensorflow as tf

    before = tf.cumsum(weights, axis=1, exclusive=True)  # (rows, k)
    return tf.where(before < share, weights, 0.0)


def _leave_out(weights: Any, min_p: Any) -> Any:
    """Return the weights, (rows, k), with 0 for those below `min_p`, (rows, 1); the most probable word weighs 1."""
    import tensorflow as tf

    return tf.cond(
        tf.reduce_any(min_p > 0), lambda: tf.where(weights >= min_p, weights, 0.0), lambda: weights
    )


def _invert(weights: Any, uniforms: Any) -> Any:
    """Return the place, (rows,), at which the cumulative weight passes its share of the total."""
    import tensorflow as tf

    cumulative = tf.cumsum(weights, axis=1)  # (rows, k)
    # A product with a number below 1 that has 24 bits stays below the total: a place with a weight is always found.
    sought = uniforms[:, None] * cumulative[:, -1:]  # (rows, 1)
    return tf.reduce_sum(tf.cast(cumulative <= sought, tf.int32), axis=1)  # (rows,)
