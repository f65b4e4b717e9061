import keras
import numpy as np

from minigpt_pipeline.model.transformer_block import TransformerBlock

RNG = np.random.default_rng(4)


def normalize(values: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=-1, keepdims=True)
    return gain * centred / np.sqrt(values.var(axis=-1, keepdims=True) + 1e-6) + offset


def test_call_normalizes_after_each_sum() -> None:
    block = TransformerBlock(num_heads=2, head_dim=3, feed_forward_dim=7)
    inputs = RNG.normal(size=(2, 4, 6)).astype("float32")
    block(inputs)
    block.set_weights([RNG.normal(size=weight.shape) for weight in block.get_weights()])

    gathered = normalize(inputs + np.array(block.attention(inputs)), *block.attention_norm.get_weights())
    expansion_w, expansion_b = block.expansion.get_weights()
    contraction_w, contraction_b = block.contraction.get_weights()
    worked = np.maximum(gathered @ expansion_w + expansion_b, 0) @ contraction_w + contraction_b
    expected = normalize(gathered + worked, *block.feed_forward_norm.get_weights())

    np.testing.assert_allclose(np.array(block(inputs)), expected, atol=1e-5)


def test_step_gives_word_by_word_what_call_gives_at_once() -> None:
    block = TransformerBlock(num_heads=2, head_dim=3, feed_forward_dim=7)
    inputs = RNG.normal(size=(2, 4, 6)).astype("float32")
    whole = np.array(block(inputs))
    cache = block.attention.make_cache(2, length=4)

    for place in range(4):
        output, cache = block.step(inputs[:, place : place + 1], cache, np.full(2, place))

        np.testing.assert_allclose(np.array(output)[:, 0], whole[:, place], atol=1e-5)


def test_dropout_acts_in_training_alone() -> None:
    block = TransformerBlock(num_heads=2, head_dim=3, feed_forward_dim=7, dropout=0.5)
    inputs = RNG.normal(size=(2, 4, 6)).astype("float32")

    assert np.array_equal(block(inputs), block(inputs))
    assert not np.array_equal(block(inputs), block(inputs, training=True))


def test_config_makes_the_same_layer() -> None:
    block = TransformerBlock(2, 3, 7, dropout=0.25, name="block_0", dtype="mixed_bfloat16")

    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))

    assert copy.get_config() == block.get_config()
    assert (copy.num_heads, copy.head_dim, copy.feed_forward_dim, copy.dropout) == (2, 3, 7, 0.25)
