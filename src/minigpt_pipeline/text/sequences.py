"""From reviews of any length to the matrix of token ids that a model reads."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.vocabulary import PADDING_ID


def truncate(token_ids: pa.Table, sequence_length: int) -> np.ndarray:
    """Take the first words of each review: one more than the context, for the inputs and the labels shifted by one.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        sequence_length: Context of the model, in tokens.

    Returns:
        int32, (num_reviews, sequence_length + 1), padded on the right with 0.
    """
    lists = token_ids["token_ids"].combine_chunks()
    flat = lists.flatten().to_numpy()  # (num_words,)
    lengths = pc.list_value_length(lists).to_numpy()  # (num_reviews,)
    starts = np.cumsum(lengths) - lengths
    columns = np.arange(sequence_length + 1)  # (sequence_length + 1,)
    is_word = columns < lengths[:, None]  # (num_reviews, sequence_length + 1)
    sequences = np.full(is_word.shape, PADDING_ID, dtype=np.int32)
    sequences[is_word] = flat[(starts[:, None] + columns)[is_word]]
    return sequences
