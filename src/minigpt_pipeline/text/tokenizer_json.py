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
        words, forms = (_read_strings(content, name) for name in ("words", "forms"))
        return WordTokenizer(Vocabulary(words), forms)
    if kind == SubwordTokenizer.kind:
        tokens, merges, forms = (_read_strings(content, name) for name in ("tokens", "merges", "forms"))
        return SubwordTokenizer(tokens, merges, forms)
    raise ValueError(
        f"tokenizer={str(kind)[:60]!r} is none of `word` and `subword`: make it again with "
        "`kedro run --pipelines vectorization`"
    )


def _read_strings(content: dict[str, Any], name: str) -> tuple[str, ...]:
    strings = content.get(name)
    if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
        raise ValueError(
            f"The tokenizer's {name} are no list of strings: make it again with `kedro run --pipelines vectorization`"
        )
    return tuple(strings)
