"""Evaluation windows made of sequences that are padded by hand, of which each token is a word."""

import numpy as np

from minigpt_pipeline.text.evaluation_windows import EvaluationWindows
from minigpt_pipeline.text.token_places import PlacedTokens
from minigpt_pipeline.text.vocabulary import UNKNOWN_ID


def as_windows(sequences: np.ndarray) -> EvaluationWindows:
    """Score every token of a sequence but the first, where it is not 0."""
    inputs, labels = sequences[:, :-1], sequences[:, 1:]
    reviews, places = np.nonzero(labels)
    tokens = labels[reviews, places]
    scored = PlacedTokens(tokens, reviews, places + 2, np.full(len(tokens), 2), tokens == UNKNOWN_ID)
    return EvaluationWindows(inputs, labels, scored)
