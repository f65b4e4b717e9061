"""How the next word is chosen from its logits. Pure NumPy."""

import numpy as np

from minigpt_pipeline.text.vocabulary import PADDING_ID, UNKNOWN_ID

BANNED_IDS = (PADDING_ID, UNKNOWN_ID)
"""Never written: neither is a word."""


def draw_word(logits: np.ndarray, temperature: float, top_k: int | None, rng: np.random.Generator) -> int:
    """Draw one word.

    Args:
        logits: float, (vocabulary_size,).
        temperature: Divides the logits: below 1 the probable becomes more probable; 0 takes the most probable word.
        top_k: Only the k most probable words can be drawn ([Fan et al., 2018](https://arxiv.org/abs/1805.04833));
            null means all.
        rng: Gives one number a draw.

    Returns:
        The word's id, never padding or `[UNK]`.
    """
    logits = logits.astype(np.float64)
    logits[list(BANNED_IDS)] = -np.inf
    if temperature == 0:
        return int(logits.argmax())
    candidates = most_probable(logits, top_k)  # (k,)
    scores = (logits[candidates] - logits[candidates].max()) / temperature
    cumulative = np.exp(scores).cumsum()  # (k,)
    position = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(candidates[min(position, len(candidates) - 1)])


def most_probable(logits: np.ndarray, k: int | None) -> np.ndarray:
    """Return the ids of the k largest logits in ascending order, all that are allowed where k is null or too large.

    Args:
        logits: float, (vocabulary_size,); -inf is never among them.
        k: How many.

    Returns:
        int64, (k,).
    """
    allowed = np.flatnonzero(logits > -np.inf)
    if k is None or k >= len(allowed):
        return allowed
    # Of equal logits the lower id is taken, as in argmax.
    threshold = np.partition(logits, -k)[-k]
    above = np.flatnonzero(logits > threshold)
    level = np.flatnonzero(logits == threshold)[: k - len(above)]
    return np.sort(np.concatenate([above, level]))
