import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from minigpt_pipeline.datasets import ArrowTableDataset
from minigpt_pipeline.text.evaluation_windows import make_evaluation_windows
from minigpt_pipeline.text.reference_reviews import choose_reviews
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.token_places import place_tokens
from minigpt_pipeline.text.token_tables import (
    check_tokens,
    digest_tokens,
    mark_tokens,
    tell_unknown_words_apart,
)
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


def test_each_unknown_word_has_an_id_of_its_own_in_all_tables() -> None:
    tables = [
        pa.table({"token_ids": token_ids, "unknown_words": unknown_words})
        for token_ids, unknown_words in (
            ([[2, 1, 1], [], [1, 3]], [["x", "y"], [], ["x"]]),
            ([[9, 9], [1, 2, 1]], [[], ["z", "y"]]),
        )
    ]

    first, second = tell_unknown_words_apart([tables[0], tables[1].slice(1)], TOKENIZER)

    size = len(TOKENIZER)
    assert first["token_ids"].to_pylist() == [[2, size, size + 1], [], [size, 3]]
    assert second["token_ids"].to_pylist() == [[size + 2, 2, size + 1]]
    assert tables[0]["token_ids"].to_pylist() == [[2, 1, 1], [], [1, 3]]


def test_parts_of_words_leave_none_unknown() -> None:
    tables = [pa.table({"token_ids": [[1, 2]]})]

    assert tell_unknown_words_apart(tables, OTHERS["parts of words"]) == tables


def test_unknown_words_that_are_missing_are_noticed() -> None:
    table = pa.table({"token_ids": [[1, 2, 1]], "unknown_words": [["x"]]})

    with pytest.raises(ValueError, match=r"2 \[UNK\] among the token ids and 1 unknown words"):
        tell_unknown_words_apart([table], TOKENIZER)


@pytest.mark.parametrize(
    "others",
    [
        [[2, 3], [4], []],  # an id has moved to the review before
        [[2], [3, 4]],  # a review without a word is gone
        [[3, 4], [2], []],
        [[2], [3, 5], []],
        [[], [2], [3, 4]],
    ],
)
def test_the_digest_tells_reviews_apart(others: list[list[int]]) -> None:
    there, here = (
        pa.table({"token_ids": pa.array(ids, pa.list_(pa.int32()))}) for ids in ([[2], [3, 4], []], others)
    )

    assert digest_tokens(there) != digest_tokens(here)


def test_the_digest_is_of_the_reviews_alone() -> None:
    """However a table is cut into pieces, and whatever else it holds."""
    whole = pa.table({"token_ids": pa.array([[2], [3, 4], [], [5]], pa.list_(pa.int32()))})
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    behind = (
        pa.concat_tables([whole.slice(3), whole]).slice(1).append_column("rating", pa.array([1, 2, 3, 4]))
    )

    assert digest_tokens(whole) == digest_tokens(pieces) == digest_tokens(behind)
    assert re.fullmatch("[0-9a-f]{16}", digest_tokens(whole))
