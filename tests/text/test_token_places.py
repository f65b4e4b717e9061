import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.token_places import cut_reviews, place_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import count_words
from minigpt_pipeline.text.word_losses import WordLosses
from minigpt_pipeline.text.word_tokenizer import train_word_tokenizer

WORDS = pa.array([["aa", "b", "aab", "c"], [], ["xyz"], ["b", "aa"]])
COUNTS = count_words(WORDS)
TOKENIZERS = [train_word_tokenizer(COUNTS, 4), train_subword_tokenizer(COUNTS, 1 + 256 + 2)]


def encode(tokenizer: Tokenizer) -> pa.Table:
    return pa.table({"token_ids": tokenizer.encode_lists(WORDS)})


def test_place_tokens_counts_words() -> None:
    """Of the pairs of bytes only ` a` and ` aa` are tokens: ` b` is two, ` aab` two, ` c` two, ` xyz` four."""
    words, subwords = (place_tokens(encode(tokenizer), tokenizer) for tokenizer in TOKENIZERS)

    assert words.reviews.tolist() == [0, 0, 0, 0, 2, 3, 3]
    assert words.positions.tolist() == [1, 2, 3, 4, 1, 1, 2]
    assert subwords.reviews.tolist() == [0] * 7 + [2] * 4 + [3] * 3
    assert subwords.positions.tolist() == [1, 2, 2, 3, 3, 4, 4, 1, 1, 1, 1, 1, 1, 2]
    assert words.is_unknown.sum() == 3
    assert not subwords.is_unknown.any()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("max_words", range(1, 6))
def test_cut_reviews_ends_with_a_word(tokenizer: Tokenizer, max_words: int) -> None:
    cut, placed = cut_reviews(encode(tokenizer), tokenizer, max_words)

    expected = tokenizer.encode_lists(pa.array([words[:max_words] for words in WORDS.to_pylist()]))
    assert cut["token_ids"].to_pylist() == expected.to_pylist()
    assert placed.tokens.tolist() == expected.flatten().to_pylist()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("max_words", range(1, 6))
def test_cut_reviews_keeps_the_unknown_words_that_are_left(tokenizer: Tokenizer, max_words: int) -> None:
    """Those of the words are `aab` and `c`, third and fourth of their review, and `xyz`."""
    token_ids = tokenizer.encode_lists(WORDS)
    unknown_words = tokenizer.find_unknown_words(WORDS, token_ids)
    table = pa.table({"token_ids": token_ids, "unknown_words": unknown_words})

    cut, placed = cut_reviews(table, tokenizer, max_words)

    expected = [["aab", "c"][: max(0, max_words - 2)], [], ["xyz"], []]
    assert cut["unknown_words"].to_pylist() == ([[]] * 4 if tokenizer.unknown_id is None else expected)
    assert placed.is_unknown.sum() == pc.list_value_length(cut["unknown_words"]).to_numpy().sum()
    of_others, _ = cut_reviews(table.slice(2), tokenizer, max_words)
    assert of_others["unknown_words"].to_pylist() == cut["unknown_words"].to_pylist()[2:]


def test_losses_of_tokens_are_added_up_by_word() -> None:
    placed = place_tokens(encode(TOKENIZERS[1]), TOKENIZERS[1])

    losses = WordLosses.from_tokens(np.arange(14.0), placed)

    assert losses.losses.tolist() == [0, 1 + 2, 3 + 4, 5 + 6, 7 + 8 + 9 + 10, 11 + 12, 13]
    assert losses.characters.tolist() == [3, 2, 4, 2, 4, 2, 3]
    assert losses.reviews.tolist() == [0, 0, 0, 0, 2, 3, 3]
    assert losses.positions.tolist() == [1, 2, 3, 4, 1, 1, 2]


def test_losses_of_words_stay_as_they_are() -> None:
    placed = place_tokens(encode(TOKENIZERS[0]), TOKENIZERS[0])

    assert WordLosses.from_tokens(np.arange(7.0), placed).losses.tolist() == list(range(7))
