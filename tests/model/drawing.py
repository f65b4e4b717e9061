"""Logits as `draw_words` wants them, and as people do."""

from typing import Any

import numpy as np
import tensorflow as tf

from minigpt_pipeline.model.few_rows import BLOCK_WORDS, Scores, make_blocks
from minigpt_pipeline.text.vocabulary import PADDING_ID, UNKNOWN_ID


def make_drawable(logits: Any) -> Scores:
    """Put -inf where nothing may be drawn, and behind the last word up to a whole block."""
    vocabulary_size = logits.shape[1]
    is_word = ~np.isin(np.arange(vocabulary_size), [PADDING_ID, UNKNOWN_ID])
    words = tf.where(is_word, logits, -np.inf)
    return make_blocks(tf.pad(words, [[0, 0], [0, -vocabulary_size % BLOCK_WORDS]], constant_values=-np.inf))


def list_by_word(scores: Scores, vocabulary_size: int) -> np.ndarray:
    """Return the logits of the words by their ids, (rows, vocabulary_size); where blocks overlap, of the later one."""
    logits = np.full((scores.maxima.shape[0], vocabulary_size + BLOCK_WORDS), np.nan, dtype="float32")
    blocks = np.concatenate([np.array(part) for part in scores.parts], axis=1)
    for number, first in enumerate(scores.first_words):
        logits[:, first : first + BLOCK_WORDS] = blocks[:, number]
    assert np.isneginf(logits[:, vocabulary_size:][:, : -vocabulary_size % BLOCK_WORDS]).all()
    return logits[:, :vocabulary_size]
