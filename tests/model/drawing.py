"""Logits as `draw_words` wants them, and as people do; and a word drawn step by step from the definitions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from minigpt_pipeline.model.few_rows import BLOCK_WORDS, Scores, make_blocks
from minigpt_pipeline.parameters import SamplingParameters
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


def draw_by_definition(
    logits: dict[int, float], text: Sequence[int], uniform: float, sampling: SamplingParameters
) -> int:
    """Draw one word after a text, from the logits of those that may be drawn; padding where none is left."""
    penalty, size = sampling.repetition_penalty or 1.0, sampling.no_repeat_ngram_size
    logits = {
        word: logit if word not in text else logit / penalty if logit > 0 else logit * penalty
        for word, logit in logits.items()
    }
    if size:
        ngrams = {tuple(text[first : first + size]) for first in range(len(text) - size + 1)}
        newest = text[max(len(text) - size + 1, 0) :]
        logits = {word: logit for word, logit in logits.items() if (*newest, word) not in ngrams}
    if not logits:
        return PADDING_ID
    best = max(logits, key=lambda word: (logits[word], -word))
    if sampling.temperature == 0:
        return best
    weights = {
        word: math.exp((logit - logits[best]) / sampling.temperature) for word, logit in logits.items()
    }
    kept = sorted(weights, key=lambda word: (-weights[word], word))[: sampling.top_k]
    reached = np.cumsum([0.0, *(weights[word] for word in kept)])
    top_p, min_p = sampling.top_p or 1.0, sampling.min_p or 0.0
    kept = [word for word, before in zip(kept, reached, strict=False) if before < top_p * reached[-1]]
    kept = [word for word in kept if weights[word] >= min_p]
    if sampling.top_k is None and top_p == 1:
        kept.sort()
    cumulative = np.cumsum([weights[word] for word in kept])
    return kept[int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))]
