"""Logits as `draw_words` wants them."""

from typing import Any

import numpy as np
import tensorflow as tf

from minigpt_pipeline.model.sampling import BLOCK_WORDS
from minigpt_pipeline.text.vocabulary import PADDING_ID, UNKNOWN_ID


def make_drawable(logits: Any) -> Any:
    """Put -inf where nothing may be drawn, and behind the last word up to a whole block."""
    vocabulary_size = logits.shape[1]
    is_word = ~np.isin(np.arange(vocabulary_size), [PADDING_ID, UNKNOWN_ID])
    words = tf.where(is_word, logits, -np.inf)
    return tf.pad(words, [[0, 0], [0, -vocabulary_size % BLOCK_WORDS]], constant_values=-np.inf)
