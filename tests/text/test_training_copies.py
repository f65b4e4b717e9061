import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt_pipeline.text import training_copies
from minigpt_pipeline.text.training_copies import Copies, Copy, TrainingCopies


def make_table(token_ids: list[list[int]]) -> pa.Table:
    return pa.table({"token_ids": pa.array(token_ids, pa.list_(pa.int32()))})


REVIEWS = [[], list(range(10, 22)), [5, 6, 7], list(range(30, 50)), []]


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        (range(10, 18), Copies(1, 1, Copy(8, 0, 0, 1, 0))),
        (range(14, 22), Copies(1, 1, Copy(8, 0, 0, 1, 4))),
        ([1, 2, *range(33, 43), 3], Copies(6, 3, Copy(10, 0, 2, 3, 3))),
        (range(30, 37), Copies(0, 0, None)),
        ([*range(30, 37), 1], Copies(1, 0, None)),
    ],
    ids=["the beginning", "the end", "ten words within others", "seven words", "seven words and another"],
)
def test_find_tells_which_words_are_copied(text: list[int], copies: Copies) -> None:
    assert TrainingCopies(make_table(REVIEWS)).find([list(text)]) == copies


def test_find_does_not_copy_across_the_end_of_a_review() -> None:
    joined = [*range(18, 22), 5, 6, 7, *range(30, 42)]

    copies = TrainingCopies(make_table(REVIEWS)).find([joined])

    assert copies == Copies(12, 5, Copy(12, 0, 7, 3, 0))  # of the last review alone


def test_find_does_not_lengthen_a_copy_across_the_end_of_a_review() -> None:
    copies = TrainingCopies(make_table(REVIEWS)).find([[*range(10, 22), 5, 6, 7]])

    assert copies == Copies(8, 5, Copy(12, 0, 0, 1, 0))


def test_find_names_the_longest_of_several_texts_and_reviews() -> None:
    reviews = [[*range(8), 90], [*range(8), 8, 91], [*range(8), 8, 92]]

    copies = TrainingCopies(make_table(reviews)).find([[80, *range(8)], list(range(9)), list(range(9))])

    assert copies == Copies(6, 5, Copy(9, 1, 0, 1, 0))  # a run counts once, however many reviews have it


def test_find_copies_all_of_a_training_review_and_nothing_of_shuffled_words() -> None:
    rng = np.random.default_rng(0)
    reviews = [rng.integers(2, 300, size=50).tolist() for _ in range(40)]
    training = TrainingCopies(make_table(reviews))

    copies = training.find(reviews)
    assert copies == Copies(40 * 43, 40 * 43, Copy(50, 0, 0, 0, 0))
    assert training.find([rng.permutation(review) for review in reviews]) == Copies(40 * 43, 0, None)


def test_find_does_not_believe_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    def collide(words: np.ndarray) -> np.ndarray:
        return np.zeros(max(len(words) - 7, 0), np.uint64)

    text = [1, 2, *range(33, 43), 3]
    expected = TrainingCopies(make_table(REVIEWS)).find([text])

    monkeypatch.setattr(training_copies, "_hash_windows", collide)

    assert TrainingCopies(make_table(REVIEWS)).find([text]) == expected


def test_find_in_training_without_a_run_of_eight() -> None:
    assert TrainingCopies(make_table([[1, 2], []])).find([list(range(9))]) == Copies(2, 0, None)
    assert TrainingCopies(make_table([])).find([list(range(9))]) == Copies(2, 0, None)


def test_training_may_be_a_part_of_a_table() -> None:
    copies = TrainingCopies(make_table(REVIEWS).slice(3)).find([list(range(10, 22)), list(range(40, 50))])

    assert copies == Copies(8, 3, Copy(10, 1, 0, 0, 10))


WORDS = st.lists(st.integers(0, 1), min_size=6, max_size=24)


def runs(words: list[int], length: int) -> list[tuple[int, ...]]:
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=3))
def test_find_agrees_with_sets_of_tuples(reviews: list[list[int]], texts: list[list[int]]) -> None:
    def count_copied(length: int) -> int:
        known = {run for review in reviews for run in runs(review, length)}
        return sum(run in known for text in texts for run in runs(text, length))

    copies = TrainingCopies(make_table(reviews)).find(texts)

    assert copies.num_copied == count_copied(8)
    assert (copies.longest.length if copies.longest else 0) == max(
        (length for length in range(8, 25) if count_copied(length)), default=0
    )
