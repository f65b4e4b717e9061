"""From held-out reviews to what a model with a bounded context is asked: each word once, given the words before it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from minigpt_pipeline.text.token_places import PlacedTokens, place_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import PADDING_ID

MEASURED_WORDS = 81
"""The measure takes words 2 to 81 of each review, whatever the context of a model."""


@dataclass(frozen=True)
class EvaluationWindows:
    """Windows over reviews, in their order; row by row, the labels that are not 0 are the scored tokens in their order.

    Args:
        inputs: int32, (num_windows, sequence_length); 0 behind the last token.
        labels: int32, (num_windows, sequence_length): the token after each input; 0 where nothing is scored, because
            the review is over, its first word is not, or an earlier window has scored the token.
        scored: The scored tokens.
    """

    inputs: np.ndarray
    labels: np.ndarray
    scored: PlacedTokens


def make_evaluation_windows(
    token_ids: pa.Table,
    tokenizer: Tokenizer,
    sequence_length: int,
    max_words: int | None,
    begins_with_end: bool = False,
) -> EvaluationWindows:
    """Lay windows over each review, so that every token of its second and later words is scored once.

    The first window begins with the review. Each further one begins half a context later and scores what the one
    before could not see: tokens beyond the context are given at least the newest half of it.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        tokenizer: Whose ids they are.
        sequence_length: Context of the model, in tokens.
        max_words: Of each review only so many are read; null means all.
        begins_with_end: Put the token 0 before each review, as a model that was trained on packed reviews has seen it;
            it takes a place of the context.
    """
    placed = place_tokens(token_ids, tokenizer)
    if max_words is not None:
        placed = placed.take(placed.positions <= max_words)
    lengths = np.bincount(placed.reviews, minlength=len(token_ids))  # (num_reviews,)
    starts = np.cumsum(lengths) - lengths
    first = 1 if begins_with_end else 0  # place of a review's first token in what is read
    num_read = lengths + first  # (num_reviews,)
    has_scored = np.bincount(placed.reviews[placed.positions > 1], minlength=len(token_ids)) > 0

    stride = sequence_length - sequence_length // 2
    beyond = np.maximum(0, num_read - 1 - sequence_length)  # tokens that the first window can't score
    num_windows = np.where(has_scored, 1 + -(-beyond // stride), 0)
    review = np.repeat(np.arange(len(lengths)), num_windows)  # (num_windows,)
    number = np.arange(len(review)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
    begin = number * stride  # (num_windows,)

    places = begin[:, None] + np.arange(sequence_length + 1)  # (num_windows, sequence_length + 1)
    is_token = (places >= first) & (places < num_read[review, None])
    read = (starts[review, None] + places - first)[is_token]  # places among all tokens
    tokens = np.full(places.shape, PADDING_ID, dtype=np.int32)
    tokens[is_token] = placed.tokens[read]

    is_scored = is_token.copy()
    is_scored[is_token] = placed.positions[read] > 1
    is_scored[:, 0] = False
    # What the window before has scored, up to its last place.
    is_scored &= (number[:, None] == 0) | (places > (begin - stride + sequence_length)[:, None])
    return EvaluationWindows(
        inputs=tokens[:, :-1],
        labels=np.where(is_scored[:, 1:], tokens[:, 1:], PADDING_ID),
        scored=placed.take(read[is_scored[is_token]]),
    )
