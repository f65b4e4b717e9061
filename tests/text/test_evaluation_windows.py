import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.text.evaluation_windows import make_evaluation_windows
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

TOKEN_IDS = pa.table({"token_ids": pa.array([[5, 6, 7, 8, 9, 3, 2], [], [4], [4, 5]], pa.list_(pa.int32()))})
WORDS = WordTokenizer(Vocabulary(("", "[UNK]", *map(str, range(2, 40)))))


def test_a_short_review_is_read_at_once() -> None:
    windows = make_evaluation_windows(TOKEN_IDS.slice(3), WORDS, sequence_length=3, max_words=None)

    assert windows.inputs.tolist() == [[4, 5, 0]]
    assert windows.labels.tolist() == [[5, 0, 0]]
    assert windows.inputs.dtype == windows.labels.dtype == np.int32


def test_a_long_review_is_read_in_windows_that_score_each_word_once() -> None:
    windows = make_evaluation_windows(TOKEN_IDS.slice(0, 1), WORDS, sequence_length=4, max_words=None)

    assert windows.inputs.tolist() == [[5, 6, 7, 8], [7, 8, 9, 3]]
    assert windows.labels.tolist() == [[6, 7, 8, 9], [0, 0, 3, 2]]


def test_words_after_the_first_are_scored_with_their_places() -> None:
    windows = make_evaluation_windows(TOKEN_IDS, WORDS, sequence_length=4, max_words=None)

    assert windows.scored.tokens.tolist() == [6, 7, 8, 9, 3, 2, 5]
    assert windows.scored.reviews.tolist() == [0, 0, 0, 0, 0, 0, 3]
    assert windows.scored.positions.tolist() == [2, 3, 4, 5, 6, 7, 2]


def test_the_end_of_the_review_before_can_stand_first() -> None:
    windows = make_evaluation_windows(TOKEN_IDS, WORDS, sequence_length=4, max_words=5, begins_with_end=True)

    assert windows.inputs.tolist() == [[0, 5, 6, 7], [6, 7, 8, 9], [0, 4, 5, 0]]
    assert windows.labels.tolist() == [[0, 6, 7, 8], [0, 0, 9, 0], [0, 5, 0, 0]]
    assert windows.scored.positions.tolist() == [2, 3, 4, 5, 2]


def test_a_context_as_long_as_the_measure_reads_what_truncated_sequences_hold() -> None:
    windows = make_evaluation_windows(TOKEN_IDS, WORDS, sequence_length=5, max_words=6)
    truncated = truncate(TOKEN_IDS, sequence_length=5)[[0, 3]]  # the others have no word to predict

    np.testing.assert_array_equal(windows.inputs, truncated[:, :-1])
    np.testing.assert_array_equal(windows.labels, truncated[:, 1:])


@pytest.mark.parametrize("begins_with_end", [False, True])
@pytest.mark.parametrize("sequence_length", range(2, 12))
@pytest.mark.parametrize("max_words", [None, 2, 5, 80])
def test_each_word_from_the_second_on_is_scored_once(
    sequence_length: int, max_words: int | None, begins_with_end: bool
) -> None:
    reviews = [list(range(2, 2 + length)) for length in (1, 2, 3, 9, 30)]
    table = pa.table({"token_ids": pa.array(reviews, pa.list_(pa.int32()))})
    expected = [word for review in reviews for word in review[1:max_words]]

    windows = make_evaluation_windows(table, WORDS, sequence_length, max_words, begins_with_end)

    assert windows.scored.tokens.tolist() == expected
    # The input under each label is the word before it.
    is_scored = windows.labels != 0
    assert (windows.inputs[is_scored] == windows.labels[is_scored] - 1).all()
    # Words beyond the first window are given half a context at least.
    later = windows.inputs[:, 0] > 2
    assert (windows.labels[later, : sequence_length // 2 - 1] == 0).all()


@pytest.mark.parametrize("begins_with_end", [False, True])
@pytest.mark.parametrize("sequence_length", range(2, 12))
@pytest.mark.parametrize("max_words", [None, 1, 2, 4])
def test_each_token_of_the_second_word_and_later_ones_is_scored_once(
    sequence_length: int, max_words: int | None, begins_with_end: bool
) -> None:
    """Words of one to six tokens: a space, then as many letters as there are."""
    tokenizer = train_subword_tokenizer(pa.table({"word": ["a"], "count": [0]}), 257)
    reviews = [["aaa", "a", "aaaaa", "aa"], [], ["aaaaa"], ["a", "aaa", "a", "a", "a", "aaaa"]]
    table = pa.table({"token_ids": tokenizer.encode_lists(pa.array(reviews))})
    expected = tokenizer.encode_lists(pa.array([review[1:max_words] for review in reviews]))

    windows = make_evaluation_windows(table, tokenizer, sequence_length, max_words, begins_with_end)

    assert windows.scored.tokens.tolist() == expected.flatten().to_pylist()
    assert windows.labels[windows.labels != 0].tolist() == windows.scored.tokens.tolist()
    assert set(windows.scored.positions.tolist()) == set(range(2, 1 + min(max_words or 6, 6)))
    # Each is given the tokens before it.
    rows, columns = np.nonzero(windows.labels)
    follows = columns + 1 < sequence_length
    np.testing.assert_array_equal(
        windows.inputs[rows[follows], columns[follows] + 1],
        windows.labels[rows[follows], columns[follows]],
    )
