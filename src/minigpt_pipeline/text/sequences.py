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


def pack(token_ids: pa.Table, sequence_length: int, offset: int) -> np.ndarray:
    """Cut the reviews, written one after another, into sequences that are all words.

    The token 0 ends each review: it says here what padding says behind the last word of a sequence, the review is over.
    The stream is closed to a ring, so that every word is predicted wherever it is cut: the last sequence goes on with
    the first words.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        sequence_length: Context of the model, in tokens.
        offset: Tokens from the beginning of the ring to the first cut; another one in each epoch shows a model the
            words at other places of its context.

    Returns:
        int32, (num_sequences, sequence_length + 1); neighbours share a token, the last label of one being the first
        input of the next.
    """
    lists = token_ids["token_ids"].combine_chunks()
    lengths = pc.list_value_length(lists).to_numpy()  # (num_reviews,)
    ring = np.full(int(lengths.sum()) + len(lengths), PADDING_ID, dtype=np.int32)  # (num_tokens,)
    is_word = np.ones(len(ring), dtype=bool)
    is_word[np.cumsum(lengths + 1) - 1] = False
    ring[is_word] = lists.flatten().to_numpy()
    num_sequences = count_packed(token_ids, sequence_length)
    starts = offset + np.arange(num_sequences) * sequence_length  # (num_sequences,)
    sequences: np.ndarray = ring[(starts[:, None] + np.arange(sequence_length + 1)) % len(ring)]
    return sequences


def count_packed(token_ids: pa.Table, sequence_length: int) -> int:
    """Return how many sequences `pack` makes.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        sequence_length: Context of the model, in tokens.
    """
    num_words = int(pc.sum(pc.list_value_length(token_ids["token_ids"])).as_py() or 0)
    num_tokens = num_words + len(token_ids) if num_words else 0  # a token ends each review
    return -(-num_tokens // sequence_length)
