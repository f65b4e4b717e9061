"""From held-out reviews to what a model with a bounded context is asked: each word once, given the words before it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.vocabulary import PADDING_ID

MEASURED_WORDS = 81
"""The measure takes words 2 to 81 of each review, whatever the context of a model."""


@dataclass(frozen=True)
class EvaluationWindows:
    """Windows over reviews, in their order; row by row, the labels that are not 0 are the scored words in their order.

    Args:
        inputs: int32, (num_windows, sequence_length); 0 behind the last word.
        labels: int32, (num_windows, sequence_length): the word after each input; 0 where nothing is scored, because
            the review is over or an earlier window has scored the word.
        words: int32, (num_scored,): the scored words.
        reviews: int64, (num_scored,): number of the review of each.
        positions: int64, (num_scored,): its place in the review, counted from 1.
    """

    inputs: np.ndarray
    labels: np.ndarray
    words: np.ndarray
    reviews: np.ndarray
    positions: np.ndarray


def make_evaluation_windows(
    token_ids: pa.Table, sequence_length: int, max_words: int | None, begins_with_end: bool = False
) -> EvaluationWindows:
    """Lay windows over each review, so that every word from the second on is scored once.

    The first window begins with the review. Each further one begins half a context later and scores what the one
    before could not see: words beyond the context are given at least the newest half of it.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        sequence_length: Context of the model, in tokens.
        max_words: Of each review only so many are read; null means all.
        begins_with_end: Put the token 0 before each review, as a model that was trained on packed reviews has seen it;
            it takes a place of the context.
    """
    lists = token_ids["token_ids"].combine_chunks()
    flat = lists.flatten().to_numpy()  # (num_words,)
    lengths = pc.list_value_length(lists).to_numpy()  # (num_reviews,)
    starts = np.cumsum(lengths) - lengths
    lengths = lengths if max_words is None else np.minimum(lengths, max_words)
    first = 1 if begins_with_end else 0  # place of a review's first word in what is read
    num_read = lengths + first  # (num_reviews,)

    stride = sequence_length - sequence_length // 2
    beyond = np.maximum(0, num_read - 1 - sequence_length)  # words that the first window can't score
    num_windows = np.where(lengths > 1, 1 + -(-beyond // stride), 0)
    review = np.repeat(np.arange(len(lengths)), num_windows)  # (num_windows,)
    number = np.arange(len(review)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
    begin = number * stride  # (num_windows,)

    places = begin[:, None] + np.arange(sequence_length + 1)  # (num_windows, sequence_length + 1)
    is_word = (places >= first) & (places < num_read[review, None])
    tokens = np.full(places.shape, PADDING_ID, dtype=np.int32)
    tokens[is_word] = flat[(starts[review, None] + places - first)[is_word]]

    is_scored = is_word[:, 1:] & (places[:, 1:] > first)  # (num_windows, sequence_length)
    # What the window before has scored, up to its last place.
    is_scored &= (number[:, None] == 0) | (places[:, 1:] > (begin - stride + sequence_length)[:, None])
    labels = np.where(is_scored, tokens[:, 1:], PADDING_ID)
    return EvaluationWindows(
        inputs=tokens[:, :-1],
        labels=labels,
        words=labels[is_scored],
        reviews=np.broadcast_to(review[:, None], is_scored.shape)[is_scored],
        positions=(places[:, 1:] - first + 1)[is_scored],
    )
