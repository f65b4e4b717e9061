import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.model.training_sequences import PackedSequences, TruncatedSequences

REVIEWS = pa.table({"token_ids": pa.array([[5, 6, 7, 8, 9], [4], [3, 2]], pa.list_(pa.int32()))})
TRUNCATED = TruncatedSequences(np.array([[2, 3], [4, 5], [6, 0], [7, 8]], dtype="int32"), seed=1)
PACKED = PackedSequences(REVIEWS, sequence_length=2, seed=1)


def count_labels(sequences: np.ndarray) -> dict[int, int]:
    labels, counts = np.unique(sequences[:, 1:], return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


def test_truncated_reviews_come_once_an_epoch_in_another_order() -> None:
    first, second = TRUNCATED.of_epoch(0), TRUNCATED.of_epoch(1)

    assert sorted(first.tolist()) == sorted(second.tolist()) == TRUNCATED.sequences.tolist()
    assert first.tolist() != second.tolist()


def test_packed_reviews_predict_every_word_in_every_epoch() -> None:
    for epoch in range(8):
        sequences = PACKED.of_epoch(epoch)

        assert sequences.shape == (len(PACKED), 3) == (6, 3)
        # Eight words and three ends are eleven tokens; the twelfth label is one of them again.
        counts = count_labels(sequences)
        assert set(counts) == {0, 2, 3, 4, 5, 6, 7, 8, 9}
        assert sum(counts.values()) == 12
        assert counts[0] in (3, 4)


def test_packed_reviews_are_cut_at_other_places_in_other_epochs() -> None:
    beginnings = {tuple(sorted(PACKED.of_epoch(epoch)[:, 0])) for epoch in range(8)}

    assert len(beginnings) > 1


@pytest.mark.parametrize("sequences", [TRUNCATED, PACKED])
def test_an_epoch_is_a_function_of_its_number_and_the_seed(
    sequences: TruncatedSequences | PackedSequences,
) -> None:
    assert np.array_equal(sequences.of_epoch(3), sequences.of_epoch(3))


def test_sequences_say_whether_there_is_a_word_to_predict() -> None:
    single = TruncatedSequences(np.array([[2, 0]], dtype="int32"), seed=1)
    empty = PackedSequences(REVIEWS.slice(0, 0), sequence_length=2, seed=1)

    assert (TRUNCATED.has_words(), single.has_words()) == (True, False)
    assert (PACKED.has_words(), empty.has_words()) == (True, False)


def test_only_packed_reviews_teach_where_a_review_ends() -> None:
    assert (TRUNCATED.learn_ends, PACKED.learn_ends) == (False, True)
