"""From a matrix of sequences to batches of one shape, so that nothing is compiled twice."""

from collections.abc import Iterator

import numpy as np

from minigpt_pipeline.text.vocabulary import PADDING_ID


def count_batches(num_sequences: int, batch_size: int) -> int:
    """Return how many batches hold all sequences."""
    return -(-num_sequences // batch_size)


def make_batches(sequences: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Cut a matrix into batches; the last one is filled up with rows of padding, which count nothing.

    Args:
        sequences: int32, (num_sequences, width).
        batch_size: Rows of every batch.

    Yields:
        int32, (batch_size, width).
    """
    for start in range(0, len(sequences), batch_size):
        batch = sequences[start : start + batch_size]
        missing = batch_size - len(batch)
        yield np.pad(batch, ((0, missing), (0, 0)), constant_values=PADDING_ID) if missing else batch


def shuffle_epoch(num_sequences: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of an epoch, a function of seed and epoch alone.

    Args:
        num_sequences: Rows to put in order.
        seed: Of the run.
        epoch: Counted from 0.

    Returns:
        int64, (num_sequences,): each row number once.
    """
    return np.random.default_rng([seed, epoch]).permutation(num_sequences)
