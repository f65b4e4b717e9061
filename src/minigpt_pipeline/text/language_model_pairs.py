"""What a language model reads, and what it is asked for."""

import numpy as np


def make_language_model_pairs(sequences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift sequences by one token, so that position i predicts token i + 1.

    Args:
        sequences: int32, (num_sequences, sequence_length + 1). 0 is padding.

    Returns:
        Inputs and labels, both int32, (num_sequences, sequence_length).

    Raises:
        ValueError: If there is nothing to predict.
    """
    if sequences.ndim != 2 or sequences.shape[1] < 2:  # noqa: PLR2004 -- a matrix, a pair
        raise ValueError(
            f"Sequences of shape {sequences.shape} hold no pair of neighbouring tokens: "
            "expected (num_sequences, sequence_length + 1) with sequence_length >= 1"
        )
    return sequences[:, :-1], sequences[:, 1:]
