"""Tables of token ids know which tokenizer made them: under another one the same ids are other words."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.tokenizer import Tokenizer

TOKENIZER_KEY = b"tokenizer"
"""Of a schema's metadata: the digest of the tokenizer."""


def mark_tokens(token_ids: pa.Table, tokenizer: Tokenizer) -> pa.Table:
    """Return a table that names the tokenizer that its ids are of."""
    return token_ids.replace_schema_metadata({TOKENIZER_KEY: tokenizer.digest.encode()})


def check_tokens(token_ids: pa.Table, tokenizer: Tokenizer) -> None:
    """Make sure that ids are those of a tokenizer; a table that `mark_tokens` has not marked may be of any.

    Raises:
        ValueError: If another one has made them.
    """
    made_by = (token_ids.schema.metadata or {}).get(TOKENIZER_KEY, tokenizer.digest.encode()).decode()
    if made_by != tokenizer.digest:
        raise ValueError(
            f"The token ids are of tokenizer {made_by}, and not of {tokenizer.digest} ({tokenizer.kind}, "
            f"{len(tokenizer)} ids), which the model or the tokenizer's file has: make them again with "
            "`kedro run --pipelines vectorization`, or train a model on them with `kedro run --pipelines training`"
        )


def digest_tokens(token_ids: pa.Table) -> str:
    """Return what tells reviews in tokens from any others, 16 hexadecimal digits.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
    """
    lists = token_ids["token_ids"].combine_chunks()
    digest = hashlib.sha256()
    for part in (pc.list_value_length(lists), lists.flatten()):
        digest.update(np.ascontiguousarray(part.to_numpy()).data)
    return digest.hexdigest()[:16]


def tell_unknown_words_apart(tables: Sequence[pa.Table], tokenizer: Tokenizer) -> list[pa.Table]:
    """Give each word that stands behind an `[UNK]` an id of its own, the same in all tables.

    Args:
        tables: Columns `token_ids` and `unknown_words`.
        tokenizer: Whose ids they are.

    Returns:
        Column `token_ids`: `[UNK]` has become `len(tokenizer)` and further numbers, which stand for no token. The
        tables as they are where no word is unknown to the tokenizer.

    Raises:
        ValueError: If there is not one unknown word for each `[UNK]`.
    """
    if tokenizer.unknown_id is None:
        return list(tables)
    unknown_words = [table["unknown_words"].combine_chunks().flatten() for table in tables]
    numbers = pa.concat_arrays(unknown_words).dictionary_encode().indices.to_numpy()  # (num_unknown,)
    ends = np.cumsum([len(words) for words in unknown_words])
    return [
        _replace(table, tokenizer.unknown_id, len(tokenizer) + part)
        for table, part in zip(tables, np.split(numbers, ends[:-1]), strict=True)
    ]


def _replace(table: pa.Table, unknown_id: int, ids: np.ndarray) -> pa.Table:
    lists = table["token_ids"].combine_chunks()
    token_ids = lists.flatten().to_numpy().copy()  # (num_tokens,)
    is_unknown = token_ids == unknown_id
    if is_unknown.sum() != len(ids):
        raise ValueError(
            f"{is_unknown.sum()} [UNK] among the token ids and {len(ids)} unknown words: expected as many; make them "
            "again with `kedro run --pipelines vectorization`"
        )
    token_ids[is_unknown] = ids
    offsets = np.append(0, np.cumsum(pc.list_value_length(lists).to_numpy())).astype(np.int32)
    return pa.table({"token_ids": pa.ListArray.from_arrays(pa.array(offsets), pa.array(token_ids))})
