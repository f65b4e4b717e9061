from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from minigpt_pipeline.datasets import ArrowTableDataset
from minigpt_pipeline.text.evaluation_windows import make_evaluation_windows
from minigpt_pipeline.text.reference_reviews import choose_reviews
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.token_places import place_tokens
from minigpt_pipeline.text.token_tables import check_tokens, mark_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import count_words
from minigpt_pipeline.text.word_tokenizer import train_word_tokenizer

WORDS = pa.array([["aa", "b", "aab"], ["b", "aa"]])
COUNTS = count_words(WORDS)
TOKENIZER = train_word_tokenizer(COUNTS, 5)
OTHERS = {
    "fewer words": train_word_tokenizer(COUNTS, 4),
    "other words": train_word_tokenizer(count_words(pa.array([["aa", "b", "abc"]])), 5),
    "parts of words": train_subword_tokenizer(COUNTS, 1 + 256 + 2),
}
READERS: dict[str, Callable[[pa.Table, Tokenizer], object]] = {
    "check": check_tokens,
    "places": place_tokens,
    "windows": lambda table, tokenizer: make_evaluation_windows(table, tokenizer, 4, None),
    "reviews": lambda table, tokenizer: choose_reviews(table, tokenizer, 1),
}


def encode(tokenizer: Tokenizer) -> pa.Table:
    return mark_tokens(pa.table({"token_ids": tokenizer.encode_lists(WORDS)}), tokenizer)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_ids_of_another_tokenizer_are_refused(
    read: Callable[[pa.Table, Tokenizer], object], other: Tokenizer
) -> None:
    read(encode(TOKENIZER), TOKENIZER)
    with pytest.raises(ValueError, match=rf"are of tokenizer {TOKENIZER.digest}, and not of {other.digest} "):
        read(encode(TOKENIZER), other)


def test_the_mark_lasts_in_a_file(tmp_path: Path) -> None:
    dataset = ArrowTableDataset(filepath=str(tmp_path / "token_ids.parquet"))
    dataset.save(encode(TOKENIZER))

    loaded = dataset.load()

    check_tokens(loaded.slice(1), TOKENIZER)
    with pytest.raises(ValueError, match="make them again"):
        check_tokens(loaded.slice(1), OTHERS["fewer words"])


def test_forms_change_no_ids() -> None:
    assert train_word_tokenizer(COUNTS, 5, ("Aa",)).digest == TOKENIZER.digest
