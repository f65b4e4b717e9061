import keras
import numpy as np

from minigpt_pipeline.model.causal_self_attention import CausalSelfAttention, causal_attention_mask

RNG = np.random.default_rng(3)


def attend_by_hand(
    inputs: np.ndarray, weights: list[np.ndarray], num_heads: int, head_dim: int
) -> np.ndarray:
    """Loops over sequences, heads and positions, each word looking at itself and those before it."""
    query_w, query_b, key_w, key_b, value_w, value_b, output_w, output_b = weights
    outputs = np.zeros_like(inputs)
    for number, sequence in enumerate(inputs):
        query, key, value = (
            sequence @ query_w + query_b,
            sequence @ key_w + key_b,
            sequence @ value_w + value_b,
        )
        gathered = np.zeros((len(sequence), num_heads * head_dim))
        for head in range(num_heads):
            columns = slice(head * head_dim, (head + 1) * head_dim)
            for place in range(len(sequence)):
                scores = key[: place + 1, columns] @ query[place, columns] / np.sqrt(head_dim)
                shares = np.exp(scores) / np.exp(scores).sum()
                gathered[place, columns] = shares @ value[: place + 1, columns]
        outputs[number] = gathered @ output_w + output_b
    return outputs


def test_causal_attention_mask_is_a_lower_triangle() -> None:
    mask = np.array(causal_attention_mask(3))

    assert mask.shape == (1, 1, 3, 3)
    assert mask[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_call_agrees_with_a_computation_by_hand() -> None:
    layer = CausalSelfAttention(num_heads=2, head_dim=5)
    inputs = RNG.normal(size=(3, 4, 6)).astype("float32")
    layer(inputs)
    layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.get_weights()])

    expected = attend_by_hand(inputs.astype("float64"), layer.get_weights(), num_heads=2, head_dim=5)

    np.testing.assert_allclose(np.array(layer(inputs)), expected, atol=1e-5)


def test_dropout_acts_in_training_alone() -> None:
    layer = CausalSelfAttention(num_heads=2, head_dim=4, dropout=0.5)
    inputs = RNG.normal(size=(1, 6, 8)).astype("float32")

    assert np.array_equal(layer(inputs), layer(inputs))
    assert not np.array_equal(layer(inputs), layer(inputs, training=True))


def test_config_makes_the_same_layer() -> None:
    layer = CausalSelfAttention(2, 5, dropout=0.25, name="attention")

    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))

    assert copy.get_config() == layer.get_config()
    assert (copy.num_heads, copy.head_dim, copy.dropout) == (2, 5, 0.25)
