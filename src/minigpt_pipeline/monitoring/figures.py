"""Figures of served texts, beside those of the reviews that their models were trained on."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.served_text import measure_repetition
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.text_quality import pair_with_reviews
from minigpt_pipeline.text.token_tables import tell_unknown_words_apart
from minigpt_pipeline.text.tokenizer import Tokenizer

SERVER_ERROR, TOO_MANY = 500, 429
PAIRED_TEXTS = 1000
"""At most, that each have a review beside them for their repetition."""

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class TrainingReviews:
    """What served texts are held against.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,), in the tokens of the model in use; what the
            tokenizer does not know has ids from `len(tokenizer)` on, each word its own.
        tokenizer: Whose ids they are.
        context: Of the model in use, in tokens; null where there is none.
        is_packed: Whether its training sequences are filled up with the next review.
    """

    token_ids: pa.Table
    tokenizer: Tokenizer
    context: int | None
    is_packed: bool

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each review, int64, (num_reviews,)."""
        lengths: np.ndarray = pc.list_value_length(self.token_ids["token_ids"]).to_numpy().astype(np.int64)
        return lengths


def choose_training_reviews(
    pieces: Iterable[pa.RecordBatch], num_rows: int, num_reviews: int
) -> pa.ChunkedArray | None:
    """Take texts from all over the reviews, which are sorted by what people thought of the film.

    Args:
        pieces: Column `text`, without nulls.
        num_rows: How many reviews they have between them, about.
        num_reviews: How many to take, about.

    Returns:
        string, (num_chosen,); null where there is no review.
    """
    chosen, passed = [], 0
    for piece in pieces:
        rows = passed + np.arange(len(piece) + 1)
        is_chosen = np.diff(rows * num_reviews // max(num_rows, num_reviews)) > 0
        chosen.append(piece["text"].filter(pa.array(is_chosen)))
        passed += len(piece)
    return pa.chunked_array(chosen) if passed else None


def encode_training_reviews(
    texts: pa.ChunkedArray, tokenizer: Tokenizer, context: int | None, is_packed: bool
) -> TrainingReviews:
    """Turn reviews into the tokens of a model.

    Args:
        texts: string, (num_reviews,).
        tokenizer: Of the model in use.
        context: Of the model in use, in tokens.
        is_packed: Whether its training sequences are filled up with the next review.
    """
    words = split_words(texts)
    token_ids = tokenizer.encode_lists(words)
    table = pa.table(
        {"token_ids": token_ids, "unknown_words": tokenizer.find_unknown_words(words, token_ids)}
    )
    (apart,) = tell_unknown_words_apart([table], tokenizer)
    return TrainingReviews(apart.select(["token_ids"]), tokenizer, context, is_packed)


def measure_requests(texts: pd.DataFrame, refusals: pd.DataFrame) -> dict[str, float]:
    """Count requests.

    Args:
        texts: As `ServedRecords` has them.
        refusals: The same.

    Returns:
        `requests`, `texts`; of the requests `error_share` (5xx), `overloaded_share` (429) and `refused_share` (all that
        were refused), where there are any.
    """
    is_first = (texts["index"] == 0) & (texts["finish_reason"] != "failed")  # those are among the refused
    num_requests = int(is_first.sum() + refusals["count"].sum())
    figures = {"requests": float(num_requests), "texts": float(len(texts))}
    if not num_requests:
        return figures
    counts = {
        "error_share": refusals.loc[refusals["status"] >= SERVER_ERROR, "count"].sum(),
        "overloaded_share": refusals.loc[refusals["status"] == TOO_MANY, "count"].sum(),
        "refused_share": refusals["count"].sum(),
    }
    return figures | {name: float(count / num_requests) for name, count in counts.items()}


def measure_texts(texts: pd.DataFrame, context: int | None = None) -> dict[str, float]:
    """Measure texts.

    Args:
        texts: As `ServedRecords` has them, one row at least.
        context: Of the model, in tokens.

    Returns:
        `prompt_tokens_mean`, `_p50`, `_p95`, `_max`; `unk_rate` of all tokens of prompts; `long_prompt_share`, of the
        prompts those longer than the context; `new_tokens` of all texts, `new_tokens_mean`; `ended_share` and
        `cancelled_share` of the texts; `waited_p95`; `first_token_...` and `seconds_...` `p50`, `p95` and `p99`;
        `tokens_per_second_p50`, which a text had while it was written; `seq_rep_4` and `distinct_2`, the mean of the
        texts that are long enough. What nothing is known of is left out.
    """
    prompt_tokens, new_tokens = texts["prompt_tokens"], texts["new_tokens"]
    num_prompt_tokens = prompt_tokens.sum()
    writing = texts["seconds"] - texts["waited"]
    is_written = (new_tokens > 0) & (writing > 0)
    figures = {
        "prompt_tokens_mean": prompt_tokens.mean(),
        "prompt_tokens_p50": prompt_tokens.median(),
        "prompt_tokens_p95": prompt_tokens.quantile(0.95),
        "prompt_tokens_max": prompt_tokens.max(),
        "unk_rate": texts["unknown_tokens"].sum() / num_prompt_tokens if num_prompt_tokens else math.nan,
        "long_prompt_share": math.nan if context is None else (prompt_tokens > context).mean(),
        "new_tokens": new_tokens.sum(),
        "new_tokens_mean": new_tokens.mean(),
        "ended_share": (texts["finish_reason"] == "end").mean(),
        "cancelled_share": (texts["finish_reason"] == "cancelled").mean(),
        "waited_p95": texts["waited"].quantile(0.95),
        **{
            f"{name}_{label}": texts[name].quantile(share)
            for name in ("first_token", "seconds")
            for label, share in QUANTILES.items()
        },
        "tokens_per_second_p50": (new_tokens[is_written] / writing[is_written]).median(),
        "seq_rep_4": texts["seq_rep_4"].mean(),
        "distinct_2": texts["distinct_2"].mean(),
    }
    return {name: float(value) for name, value in figures.items() if not math.isnan(value)}


def measure_training(texts: pd.DataFrame, reviews: TrainingReviews) -> dict[str, float]:
    """Measure training reviews as far as texts can be held against them.

    Args:
        texts: As `ServedRecords` has them, one row at least.
        reviews: Of the model in use, one at least.

    Returns:
        `unk_rate` of beginnings of reviews that are as long as the prompts, if the tokenizer has `[UNK]`; `seq_rep_4`
        and `distinct_2` of beginnings that are as long as the texts. What can't be measured is left out.
    """
    figures = _measure_repetition(texts["new_tokens"].to_numpy(), reviews)
    if reviews.tokenizer.unknown_id is not None:
        figures["unk_rate"] = find_unknown_rate(reviews, texts["prompt_tokens"].to_numpy())
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def measure_lengths(reviews: TrainingReviews) -> dict[str, float]:
    """Return how long reviews are, and the sequences that the model was trained on.

    Args:
        reviews: Of the model in use, one at least.

    Returns:
        `tokens_p50` and `tokens_p95` of a review; `sequence_tokens_mean` and `sequence_tokens_max`, if the model is
        known.
    """
    lengths = reviews.lengths
    figures = {"tokens_p50": float(np.median(lengths)), "tokens_p95": float(np.quantile(lengths, 0.95))}
    if reviews.context is None:
        return figures
    sequences = np.array([reviews.context]) if reviews.is_packed else np.minimum(lengths, reviews.context)
    return figures | {
        "sequence_tokens_mean": float(sequences.mean()),
        "sequence_tokens_max": float(sequences.max()),
    }


def find_unknown_rate(reviews: TrainingReviews, prompt_tokens: np.ndarray) -> float:
    """Return the share of `[UNK]` in beginnings of reviews, of which there are equally many for each prompt.

    Args:
        reviews: What the beginnings are of.
        prompt_tokens: int64, (num_prompts,): how long they are; where no review is so long, as long as the longest.

    Returns:
        Expected of a prompt whose n-th token is that of a random review with n tokens; nan without a token.
    """
    lists = reviews.token_ids["token_ids"].combine_chunks()
    token_ids, lengths = lists.flatten().to_numpy(), reviews.lengths
    places = np.arange(len(token_ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # (num_tokens,)
    num_known = np.bincount(places)  # (longest,): reviews that have a token at each place
    num_unknown = np.bincount(places[token_ids >= len(reviews.tokenizer)], minlength=len(num_known))
    expected = np.append(0.0, np.cumsum(num_unknown / np.maximum(num_known, 1)))  # (longest + 1,)
    cut = np.minimum(prompt_tokens, len(num_known))
    return float(expected[cut].sum() / cut.sum()) if cut.sum() else math.nan


def _measure_repetition(new_tokens: np.ndarray, reviews: TrainingReviews) -> dict[str, float]:
    rows = np.unique(np.linspace(0, len(new_tokens) - 1, PAIRED_TEXTS).round().astype(np.int64))
    _, beginnings = pair_with_reviews(
        [np.zeros(length, np.int32) for length in new_tokens[rows]], reviews.token_ids
    )
    measured = pd.DataFrame([measure_repetition(tokens.tolist()) for tokens in beginnings], dtype="float64")
    return {str(name): float(value) for name, value in measured.mean().items()}
