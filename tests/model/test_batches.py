import numpy as np

from minigpt_pipeline.model.batches import count_batches, make_batches, shuffle_epoch

SEQUENCES = np.arange(1, 11, dtype="int32").reshape(5, 2)


def test_make_batches_fills_the_last_one_with_padding() -> None:
    batches = list(make_batches(SEQUENCES, 2))

    assert [batch.tolist() for batch in batches] == [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [0, 0]]]
    assert {batch.dtype for batch in batches} == {np.dtype("int32")}


def test_count_batches_agrees_with_make_batches() -> None:
    assert [count_batches(5, size) for size in (1, 2, 5, 9)] == [5, 3, 1, 1]
    assert all(count_batches(5, size) == len(list(make_batches(SEQUENCES, size))) for size in (1, 2, 5, 9))


def test_shuffle_epoch_depends_on_seed_and_epoch_alone() -> None:
    order = shuffle_epoch(50, seed=3, epoch=1)

    assert sorted(order) == list(range(50))
    assert np.array_equal(order, shuffle_epoch(50, seed=3, epoch=1))
    assert not np.array_equal(order, shuffle_epoch(50, seed=3, epoch=2))
    assert not np.array_equal(order, shuffle_epoch(50, seed=4, epoch=1))
