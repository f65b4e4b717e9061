"""Evaluation windows made of sequences that are padded by hand."""

import numpy as np

from minigpt_pipeline.text.evaluation_windows import EvaluationWindows


def as_windows(sequences: np.ndarray) -> EvaluationWindows:
    """Score every token of a sequence but the first, where it is not 0."""
    inputs, labels = sequences[:, :-1], sequences[:, 1:]
    reviews, places = np.nonzero(labels)
    return EvaluationWindows(inputs, labels, labels[reviews, places], reviews, places + 2)
