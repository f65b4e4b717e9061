from typing import Any

import keras
import numpy as np
import pytest

from minigpt_pipeline.model.transformer_block import TransformerBlock
from tests.model import by_hand

RNG = np.random.default_rng(4)
OPTIONS = [
    {},
    {"normalization": "pre"},
    {"activation": "gelu"},
    {"rotary_length": 5},
    {"normalization": "pre", "activation": "gelu", "rotary_length": 4},
]


def make_block(**options: Any) -> TransformerBlock:
    block = TransformerBlock(num_heads=2, head_dim=4, feed_forward_dim=7, **options)
    block.build((None, None, 6))
    block.set_weights([RNG.normal(size=weight.shape) for weight in block.get_weights()])
    return block


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_call_agrees_with_a_computation_by_hand(options: dict[str, Any], training: bool) -> None:
    block = make_block(**options, dropout=0.0)
    inputs = RNG.normal(size=(2, 4, 6)).astype("float32")

    expected = [by_hand.transform(sequence, block) for sequence in inputs.astype("float64")]

    np.testing.assert_allclose(np.array(block(inputs, training=training)), expected, rtol=1e-5, atol=1e-5)


def test_pre_norm_leaves_the_sum_untouched() -> None:
    """A part that gives nothing changes nothing, however large the inputs are."""
    block = make_block(normalization="pre")
    for layer in (block.attention.output_projection, block.contraction):
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    inputs = 1000 * RNG.normal(size=(2, 4, 6)).astype("float32")

    assert np.array_equal(block(inputs), inputs)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_step_gives_word_by_word_what_call_gives_at_once(options: dict[str, Any]) -> None:
    block = make_block(**options)
    inputs = RNG.normal(size=(2, 4, 6)).astype("float32")
    whole = np.array(block(inputs))
    cache = block.attention.make_cache(2, length=4)

    for place in range(4):
        output, cache = block.step(inputs[:, place : place + 1], cache, np.full(2, place))

        np.testing.assert_allclose(np.array(output)[:, 0], whole[:, place], rtol=1e-5, atol=1e-5)


def test_dropout_acts_in_training_alone() -> None:
    block = TransformerBlock(num_heads=2, head_dim=3, feed_forward_dim=7, dropout=0.5)
    inputs = RNG.normal(size=(2, 4, 6)).astype("float32")

    assert np.array_equal(block(inputs), block(inputs))
    assert not np.array_equal(block(inputs), block(inputs, training=True))


def test_config_makes_the_same_layer() -> None:
    options = {"dropout": 0.25, "normalization": "pre", "activation": "gelu", "rotary_length": 9}
    block = TransformerBlock(2, 4, 7, name="block_0", dtype="mixed_bfloat16", **options)

    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))

    assert copy.get_config() == block.get_config()
    assert (copy.num_heads, copy.head_dim, copy.feed_forward_dim) == (2, 4, 7)
    assert {name: getattr(copy, name) for name in options} == options
