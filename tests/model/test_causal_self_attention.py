import keras
import numpy as np
import pytest

from minigpt_pipeline.model.causal_self_attention import CausalSelfAttention, causal_attention_mask
from tests.model import by_hand

RNG = np.random.default_rng(3)


def test_causal_attention_mask_is_a_lower_triangle() -> None:
    mask = np.array(causal_attention_mask(3))

    assert mask.shape == (1, 1, 3, 3)
    assert mask[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_causal_attention_mask_has_the_rows_of_the_asked_positions() -> None:
    mask = np.array(causal_attention_mask(3, np.array([[2], [0]])))

    assert mask.shape == (2, 1, 1, 3)
    assert mask[:, 0, 0].tolist() == [[True, True, True], [True, False, False]]


def make_layer(rotary_length: int | None) -> CausalSelfAttention:
    layer = CausalSelfAttention(num_heads=2, head_dim=6, rotary_length=rotary_length)
    layer.build((None, None, 7))
    layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.fixture(params=[None, 9], ids=["plain", "rotary"])
def layer(request: pytest.FixtureRequest) -> CausalSelfAttention:
    return make_layer(request.param)


def test_call_agrees_with_a_computation_by_hand(layer: CausalSelfAttention) -> None:
    inputs = RNG.normal(size=(3, 4, 7)).astype("float32")

    expected = [by_hand.attend(sequence, layer) for sequence in inputs.astype("float64")]

    np.testing.assert_allclose(np.array(layer(inputs)), expected, atol=1e-5)


def test_places_matter_where_queries_and_keys_are_rotated() -> None:
    """Without, the last word sees those before it as a set."""
    inputs = RNG.normal(size=(1, 4, 7)).astype("float32")
    exchanged = inputs[:, [1, 0, 2, 3]]

    for rotary_length, matters in ((None, False), (4, True)):
        layer = make_layer(rotary_length)
        last, other = np.array(layer(inputs))[:, -1], np.array(layer(exchanged))[:, -1]
        assert (np.abs(last - other).max() > 0.01) == matters


def test_queries_keys_and_values_begin_at_glorot_s_scale_of_each() -> None:
    """[Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html): uniform, sqrt(6 / (in + out))."""
    layer = CausalSelfAttention(num_heads=2, head_dim=64)
    layer.build((None, None, 100))

    for kernel in np.split(np.array(layer.input_projection.kernel), 3, axis=1):
        assert np.abs(kernel).max() == pytest.approx(np.sqrt(6 / (100 + 128)), rel=0.01)


def test_step_gives_word_by_word_what_call_gives_at_once(layer: CausalSelfAttention) -> None:
    inputs = RNG.normal(size=(3, 4, 7)).astype("float32")
    cache, outputs = layer.make_cache(3, length=7), []

    for place in range(4):
        output, cache = layer.step(inputs[:, place : place + 1], cache, np.full(3, place))
        outputs.append(np.array(output))

    np.testing.assert_allclose(np.concatenate(outputs, axis=1), np.array(layer(inputs)), atol=1e-5)


def test_step_looks_at_nothing_that_the_cache_holds_of_later_places(layer: CausalSelfAttention) -> None:
    word = RNG.normal(size=(2, 1, 7)).astype("float32")
    used = tuple(1e6 * np.ones((2, 2, 7, 6), dtype="float32") for _ in range(2))

    afresh, _ = layer.step(word, layer.make_cache(2, length=7), np.zeros(2, dtype="int32"))
    again, (keys, _) = layer.step(word, used, np.zeros(2, dtype="int32"))

    assert np.array_equal(again, afresh)
    assert (np.array(keys)[:, :, 1:] == 1e6).all()


def test_step_stands_at_another_place_in_each_text(layer: CausalSelfAttention) -> None:
    words = RNG.normal(size=(2, 3, 7)).astype("float32")
    _, cache = layer.step(words[:, :1], layer.make_cache(2, length=7), np.array([0, 0]))
    _, cache = layer.step(words[:, 1:2], cache, np.array([1, 1]))

    output, _ = layer.step(words[:, 2:], cache, np.array([2, 1]))

    expected = [
        layer(words[:1]),
        layer(words[1:, [0, 2]]),
    ]  # the second text's last word replaced the one before
    np.testing.assert_allclose(
        np.array(output)[:, 0], [np.array(whole)[0, -1] for whole in expected], atol=1e-5
    )


def test_dropout_acts_in_training_alone() -> None:
    layer = CausalSelfAttention(num_heads=2, head_dim=4, dropout=0.5)
    inputs = RNG.normal(size=(1, 6, 8)).astype("float32")

    assert np.array_equal(layer(inputs), layer(inputs))
    assert not np.array_equal(layer(inputs), layer(inputs, training=True))


def test_config_makes_the_same_layer() -> None:
    layer = CausalSelfAttention(2, 6, dropout=0.25, rotary_length=9, name="attention")

    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))

    assert copy.get_config() == layer.get_config()
    assert (copy.num_heads, copy.head_dim, copy.dropout, copy.rotary_length) == (2, 6, 0.25, 9)
