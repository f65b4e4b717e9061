"""How words that a text has already become less probable, or are banned."""

import math
from typing import Any

from minigpt_pipeline.model.few_rows import BLOCK_WORDS, Scores
from minigpt_pipeline.model.sampling import Choice
from minigpt_pipeline.text.vocabulary import PADDING_ID


def have_rules(choice: Choice) -> Any:
    """Return which rows have a rule that looks at the text so far, bool, (rows,) or ()."""
    return (choice.repetition_penalty != 1) | (choice.no_repeat_ngram_size > 0)


def lower_repeated(scores: Scores, past: Any, zero: Any, choice: Choice) -> Scores:
    """Lower the logits of words that a text has already.

    Args:
        scores: Of the next words.
        past: int32, (rows, num_past): the words of each text so far, those of its prompt included, behind padding.
        zero: float32, (rows, 1): the score that stands for a logit of 0.
        choice: `repetition_penalty`
            ([Keskar et al., 2019](https://arxiv.org/abs/1909.05858), section 4.1; the negative logits, which it leaves
            open, as everywhere now): a logit is divided by it if it is positive, else multiplied, once for a word
            however often the text has it. `no_repeat_ngram_size`
            ([Paulus et al., 2017](https://arxiv.org/abs/1705.04304), section 2.5): -inf for each word with which the
            newest words would be an n-gram that the text has.

    Returns:
        The scores. Where all words of a row are banned, padding has a score: it ends the text.
    """
    import tensorflow as tf

    penalty, size = (
        tf.reshape(setting, (-1, 1)) for setting in (choice.repetition_penalty, choice.no_repeat_ngram_size)
    )  # (rows, 1) each, or (1, 1)
    logits = _take_words(scores, past) - zero  # (rows, num_past)
    ceilings = zero + tf.where(logits > 0, logits / penalty, logits * penalty)
    ceilings = tf.where(penalty == 1, math.inf, ceilings)  # a sum with the zero may differ in its last bit
    ceilings = tf.where(_ends_ngram(past, size), -math.inf, ceilings)
    ceilings = tf.where(past == PADDING_ID, math.inf, ceilings)
    return _let_stuck_texts_end(_lower(scores, past, ceilings))


def _ends_ngram(past: Any, size: Any) -> Any:
    """Return where the words before a word of the text are its newest ones, bool, (rows, num_past).

    Of a text shorter than an n-gram none are: its padding, which is before it only, stands elsewhere for each place.

    Args:
        past: As in `lower_repeated`.
        size: int32, (rows, 1) or (1, 1): words of an n-gram; 0 means that none are.
    """
    import tensorflow as tf

    num_past = tf.shape(past)[1]
    size = tf.minimum(size, num_past + 1)

    def compare(distance: Any, are_newest: Any) -> tuple[Any, Any]:
        before = tf.roll(past, distance, axis=1)  # what goes around stands before the first n-gram's end
        newest = past[:, num_past - distance, None]  # (rows, 1)
        return distance + 1, are_newest & ((before == newest) | (distance >= size))

    are_long_enough = (size > 0) & (tf.range(num_past) >= size - 1) & tf.fill(tf.shape(past), True)
    _, are_newest = tf.while_loop(
        lambda distance, _: distance < tf.reduce_max(size),
        compare,
        (1, are_long_enough),
        parallel_iterations=1,
    )
    return are_newest


def _take_words(scores: Scores, words: Any) -> Any:
    """Return the logits of words, float32, (rows, count); `words` is int32, (rows, count)."""
    import tensorflow as tf

    taken = None
    for part, first, _ in scores.list_parts():
        here = tf.gather(tf.reshape(part, (-1,)), _find_places(part, words - first))  # (rows, count)
        taken = here if taken is None else tf.where(words >= first, here, taken)
    return taken


def _lower(scores: Scores, words: Any, ceilings: Any) -> Scores:
    """Return the scores with no logit of a word above its ceiling, float32, (rows, count)."""
    import tensorflow as tf

    parts = []
    for part, first, end in scores.list_parts():
        is_here = (words >= first) & (words < end)  # (rows, count)
        updates = tf.where(is_here, ceilings, math.inf)
        parts.append(_scatter(tf.tensor_scatter_nd_min, part, words - first, updates))
    maxima = tf.concat([tf.reduce_max(part, axis=2) for part in parts], axis=1)  # (rows, num_blocks)
    return Scores(tuple(parts), maxima, scores.first_words)


def _let_stuck_texts_end(scores: Scores) -> Scores:
    """Return the scores with one for padding in rows where nothing can be drawn."""
    import tensorflow as tf

    is_stuck = tf.reduce_max(scores.maxima, axis=1, keepdims=True) == -math.inf  # (rows, 1)
    updates = tf.where(is_stuck, 0.0, -math.inf)
    columns = tf.fill(tf.shape(updates), PADDING_ID)
    first, *others = scores.parts
    first = _scatter(tf.tensor_scatter_nd_max, first, columns, updates)
    maxima = tf.concat([tf.maximum(scores.maxima[:, :1], updates), scores.maxima[:, 1:]], axis=1)
    return Scores((first, *others), maxima, scores.first_words)


def _scatter(operation: Any, part: Any, columns: Any, updates: Any) -> Any:
    """Apply a scatter operation to columns of each row, int32, (rows, count), of a part of the scores."""
    import tensorflow as tf

    places = tf.reshape(_find_places(part, columns), (-1, 1))  # (rows * count, 1)
    flat = operation(tf.reshape(part, (-1,)), places, tf.reshape(updates, (-1,)))
    return tf.reshape(flat, (-1, part.shape[1], BLOCK_WORDS))


def _find_places(part: Any, columns: Any) -> Any:
    """Return where columns of each row, int32, (rows, count), are in a flat part; of others, the nearest of the row."""
    import tensorflow as tf

    num_columns = part.shape[1] * BLOCK_WORDS
    rows = tf.range(tf.shape(columns)[0])[:, None]  # (rows, 1)
    return rows * num_columns + tf.clip_by_value(columns, 0, num_columns - 1)
