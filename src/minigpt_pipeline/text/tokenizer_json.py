"""Tokenizers of both kinds as JSON can hold them."""

from typing import Any

from minigpt_pipeline.text.subword_tokenizer import SubwordTokenizer
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer


def describe_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return all that a tokenizer consists of, its kind first: what a file holds, and what tells it from others."""
    return {"tokenizer": tokenizer.kind, **tokenizer.to_content(), "forms": list(tokenizer.forms)}


def make_tokenizer(content: dict[str, Any]) -> Tokenizer:
    """Make the tokenizer that `describe_tokenizer` has described.

    Raises:
        ValueError: If there is no such kind, or it is damaged.
    """
    kind = content.get("tokenizer")
    if kind == WordTokenizer.kind:
        return WordTokenizer(Vocabulary(tuple(content["words"])), tuple(content["forms"]))
    if kind == SubwordTokenizer.kind:
        return SubwordTokenizer(tuple(content["tokens"]), tuple(content["merges"]), tuple(content["forms"]))
    raise ValueError(
        f"tokenizer={kind!r} is none of `word` and `subword`: make it again with `kedro run --pipelines vectorization`"
    )
