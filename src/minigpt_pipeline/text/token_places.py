"""Where the tokens of reviews stand, in words: what is measured is counted in words, whatever a model reads."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.token_tables import check_tokens, mark_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class PlacedTokens:
    """Tokens of some reviews, one behind the other.

    Args:
        tokens: int32, (num_tokens,): their ids.
        reviews: int64, (num_tokens,): number of the review of each, ascending.
        positions: int64, (num_tokens,): place of its word in the review, counted from 1, ascending in a review.
        characters: int64, (num_tokens,): see `Tokenizer.num_characters`.
        is_unknown: bool, (num_tokens,): whether it is `[UNK]`.
    """

    tokens: np.ndarray
    reviews: np.ndarray
    positions: np.ndarray
    characters: np.ndarray
    is_unknown: np.ndarray

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.tokens)

    def take(self, chosen: np.ndarray) -> "PlacedTokens":
        """Return some of the tokens.

        Args:
            chosen: Their places, int64, or for each token whether it is taken, bool, (num_tokens,).
        """
        return PlacedTokens(
            self.tokens[chosen],
            self.reviews[chosen],
            self.positions[chosen],
            self.characters[chosen],
            self.is_unknown[chosen],
        )


def place_tokens(token_ids: pa.Table, tokenizer: Tokenizer) -> PlacedTokens:
    """Find the places of all tokens of some reviews.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        tokenizer: Whose ids they are.

    Raises:
        ValueError: If they are not.
    """
    check_tokens(token_ids, tokenizer)
    lists = token_ids["token_ids"].combine_chunks()
    tokens = lists.flatten().to_numpy()  # (num_tokens,)
    lengths = pc.list_value_length(lists).to_numpy()  # (num_reviews,)
    begun = np.concatenate(
        [[0], np.cumsum(tokenizer.starts_word[tokens])]
    )  # (num_tokens + 1,), words up to a place
    starts = np.cumsum(lengths) - lengths  # (num_reviews,)
    return PlacedTokens(
        tokens=tokens,
        reviews=np.repeat(np.arange(len(lengths)), lengths),
        positions=begun[1:] - np.repeat(begun[starts], lengths),
        characters=tokenizer.num_characters[tokens],
        is_unknown=np.zeros(len(tokens), bool)
        if tokenizer.unknown_id is None
        else tokens == tokenizer.unknown_id,
    )


def cut_reviews(token_ids: pa.Table, tokenizer: Tokenizer, max_words: int) -> tuple[pa.Table, PlacedTokens]:
    """Take the first words of each review.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,), and perhaps `unknown_words`.
        tokenizer: Whose ids they are.
        max_words: Words of each.

    Returns:
        The same columns; and all their tokens.
    """
    placed = place_tokens(token_ids, tokenizer)
    kept = placed.take(placed.positions <= max_words)
    columns = {"token_ids": _to_lists(pa.array(kept.tokens), kept.reviews, len(token_ids))}
    if "unknown_words" in token_ids.column_names:
        words = token_ids["unknown_words"].combine_chunks().flatten()
        is_kept = placed.positions[placed.is_unknown] <= max_words  # (num_unknown,)
        columns["unknown_words"] = _to_lists(
            words.filter(pa.array(is_kept)), kept.reviews[kept.is_unknown], len(token_ids)
        )
    return mark_tokens(pa.table(columns), tokenizer), kept


def _to_lists(values: pa.Array, reviews: np.ndarray, num_reviews: int) -> pa.ListArray:
    """Give each review its values; `reviews`, int64, (num_values,), says whose each is."""
    offsets = np.append(0, np.cumsum(np.bincount(reviews, minlength=num_reviews))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
