"""What `tests/model/test_generation.py` can't see in the words alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.machine import describe_machine
from minigpt_pipeline.model.few_rows import Scores
from minigpt_pipeline.model.generation_loop import (
    FEW_ROWS,
    MANY_ROWS,
    USUAL_ROWS,
    choose_rows,
    have_equal_bits,
    list_cache_lengths,
)
from minigpt_pipeline.model.mini_gpt import MiniGPT
from tests.model.conftest import OPTIONS

SMALL = {"vocabulary_size": 28}
ADAPTIVE = {"output_layer": "adaptive", "num_frequent_words": 2000, "rare_word_dim": 32}
PUBLISHED_EXAMPLE = {
    "vocabulary_size": 20_000,
    "sequence_length": 80,
    "embed_dim": 256,
    "head_dim": 256,
    "feed_forward_dim": 256,
}
ALL_SIZES = [
    SMALL,
    PUBLISHED_EXAMPLE,
    PUBLISHED_EXAMPLE | ADAPTIVE,
    PUBLISHED_EXAMPLE | OPTIONS | {"num_blocks": 1},  # further blocks have the same kernels
]


@pytest.mark.parametrize("sizes", ALL_SIZES)
def test_the_kernels_give_every_row_the_same_bits_beside_any_others(
    make_model: Callable[..., MiniGPT], sizes: dict[str, Any]
) -> None:
    model = make_model(**sizes)
    rng = np.random.default_rng(3)
    text, others = rng.integers(28, size=6), rng.integers(28, size=(6, USUAL_ROWS))
    arranged = model.arrange_output_layer()

    @tf.function
    def read(words: tf.Tensor, positions: tf.Tensor, caches: list) -> tuple:
        states, caches = model.step(words, caches, positions)
        return model.score_next_words(states, arranged).join_parts(), caches

    logits = []
    for row in range(USUAL_ROWS):
        caches = model.make_caches(USUAL_ROWS, model.sequence_length)
        for place, word in enumerate(text):
            words = np.where(np.arange(USUAL_ROWS) == row, word, np.roll(others[place], row))
            positions = np.where(np.arange(USUAL_ROWS) == row, place, (place + row) % 3)
            of_rows, caches = read(tf.constant(words), tf.constant(positions, tf.int32), caches)
        logits.append(of_rows.numpy()[row])

    assert all(np.array_equal(of_row, logits[0]) for of_row in logits)
    assert np.ptp(logits[0][2:28]) > 0


@pytest.mark.parametrize("sizes", ALL_SIZES)
@pytest.mark.parametrize("rows", [FEW_ROWS, MANY_ROWS])
@pytest.mark.skipif(
    "avx512f" not in describe_machine()["instruction_sets"],
    reason="other processors have other kernels; where bits differ, groups of eight write all texts",
)
def test_groups_of_any_size_have_equal_bits_here(
    make_model: Callable[..., MiniGPT], sizes: dict[str, Any], rows: int
) -> None:
    assert have_equal_bits(make_model(**sizes), rows)


def test_have_equal_bits_sees_the_last_bit(model: MiniGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = model.score_next_words

    def otherwise_with_many_rows(states: tf.Tensor, arranged: tf.Tensor) -> Scores:
        scores = plain(states, arranged)
        logits = scores.parts[0]
        if logits.shape[0] != MANY_ROWS:
            return scores
        is_changed = np.zeros(logits.shape, dtype=bool)
        is_changed[-1, 0, 20] = True
        return scores._replace(parts=(tf.where(is_changed, tf.math.nextafter(logits, 1e9), logits),))

    monkeypatch.setattr(model, "score_next_words", otherwise_with_many_rows)

    assert have_equal_bits(model, FEW_ROWS)
    assert not have_equal_bits(model, MANY_ROWS)
    assert [choose_rows(model, num_texts) for num_texts in (1, 2, 8, 9, 70)] == [1, 8, 8, 8, 8]


def test_have_equal_bits_sees_what_the_room_in_the_caches_changes(
    make_model: Callable[..., MiniGPT], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(sequence_length=40)
    plain = model.resize_caches

    def otherwise_with_a_whole_context(caches: list, length: int) -> list:
        (keys, values), *others = plain(caches, length)
        changed = values * (1 + 1e-6) if length == model.sequence_length else values
        return [(keys, changed), *others]

    monkeypatch.setattr(model, "resize_caches", otherwise_with_a_whole_context)

    assert have_equal_bits(model, FEW_ROWS)
    assert not have_equal_bits(model, MANY_ROWS)


@pytest.mark.parametrize(
    ("context", "lengths"),
    [(5, [5]), (16, [16]), (80, [16, 32, 48, 64, 80]), (81, [32, 64, 81]), (512, [112, 224, 336, 448, 512])],
)
def test_list_cache_lengths_takes_few_steps_of_whole_registers(context: int, lengths: list[int]) -> None:
    assert list_cache_lengths(context, MANY_ROWS) == lengths
    assert list_cache_lengths(context, USUAL_ROWS) == [context]


def test_choose_rows_takes_the_smallest_group_with_room_for_all(model: MiniGPT) -> None:
    assert [choose_rows(model, num_texts) for num_texts in (1, 2, 8, 9, 70)] == [1, 8, 8, 64, 64]
