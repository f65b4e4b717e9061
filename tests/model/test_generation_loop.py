"""What `tests/model/test_generation.py` can't see in the words alone."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.generation_loop import TEXTS_AT_ONCE, compile_loop, write_group
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.sampling import Choice

GREEDY = Choice(np.float32(1), np.int32(1), np.float32(np.inf))
SMALL = {"vocabulary_size": 28}
PUBLISHED_EXAMPLE = {
    "vocabulary_size": 20_000,
    "sequence_length": 80,
    "embed_dim": 256,
    "head_dim": 256,
    "feed_forward_dim": 256,
}


@pytest.mark.parametrize("sizes", [SMALL, PUBLISHED_EXAMPLE])
def test_the_kernels_give_every_row_the_same_bits_beside_any_others(
    make_model: Callable[..., MiniGPT], sizes: dict[str, int]
) -> None:
    model = make_model(**sizes)
    rng = np.random.default_rng(3)
    text, others = rng.integers(28, size=6), rng.integers(28, size=(6, TEXTS_AT_ONCE))

    @tf.function
    def read(words: tf.Tensor, positions: tf.Tensor, caches: list) -> tuple:
        states, caches = model.step(words, caches, positions)
        return model.next_word_logits(states), caches

    logits = []
    for row in range(TEXTS_AT_ONCE):
        caches = model.make_caches(TEXTS_AT_ONCE)
        for place, word in enumerate(text):
            words = np.where(np.arange(TEXTS_AT_ONCE) == row, word, np.roll(others[place], row))
            positions = np.where(np.arange(TEXTS_AT_ONCE) == row, place, (place + row) % 3)
            of_rows, caches = read(tf.constant(words), tf.constant(positions, tf.int32), caches)
        logits.append(of_rows.numpy()[row])

    assert all(np.array_equal(of_row, logits[0]) for of_row in logits)
    assert np.ptp(logits[0]) > 0


def test_write_group_takes_any_number_of_rows_up_to_a_whole_group(model: MiniGPT) -> None:
    uniforms = np.zeros((TEXTS_AT_ONCE, 3), dtype="float32")

    whole = write_group(model, [[2], [3], [4, 5], [6]] * 2, GREEDY, None, uniforms)

    assert len(whole) == TEXTS_AT_ONCE
    for count in (1, 3):
        assert write_group(model, [[2], [3], [4, 5]][:count], GREEDY, None, uniforms[:count]) == whole[:count]


def test_the_output_layer_is_spent_once_for_each_word_of_the_group(
    model: MiniGPT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of different lengths wait for each other; they are not drawn one after another."""
    spent = tf.Variable(0)
    plain = model.next_word_logits

    def counted(states: tf.Tensor) -> tf.Tensor:
        spent.assign_add(1)
        return plain(states)

    monkeypatch.setattr(model, "next_word_logits", counted)
    compile_loop.cache_clear()

    write_group(model, [[2], [3] * 8, [4] * 5], GREEDY, None, np.zeros((3, 20), dtype="float32"))

    assert spent.numpy() == 20
