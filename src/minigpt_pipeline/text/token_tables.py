"""Tables of token ids know which tokenizer made them: under another one the same ids are other words."""

import pyarrow as pa

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
            "`kedro run --pipeline vectorization`, or train a model on them with `kedro run --pipeline training`"
        )
