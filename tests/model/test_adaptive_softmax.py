import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.adaptive_softmax import AdaptiveSoftmax

STATES = np.random.default_rng(4).normal(size=(9, 6)).astype("float32")


@pytest.fixture
def layer() -> AdaptiveSoftmax:
    """Ten words: four frequent ones at width 6, six rare ones at width 2."""
    layer = AdaptiveSoftmax(10, num_frequent_words=4, rare_word_dim=2)
    layer.build((None, 6))
    rng = np.random.default_rng(5)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def log_probabilities_by_hand(layer: AdaptiveSoftmax) -> np.ndarray:
    head_kernel, head_bias, projection, rare_kernel, rare_bias = (
        np.array(weight, dtype="float64") for weight in layer.weights
    )
    head = log_softmax(STATES @ head_kernel.T + head_bias)
    rare = log_softmax(STATES @ projection @ rare_kernel.T + rare_bias)
    return np.hstack([head[:, :4], head[:, 4:] + rare])


def test_log_probabilities_agree_with_a_computation_by_hand(layer: AdaptiveSoftmax) -> None:
    np.testing.assert_allclose(layer(STATES), log_probabilities_by_hand(layer), atol=1e-5)


def test_probabilities_sum_to_one(layer: AdaptiveSoftmax) -> None:
    np.testing.assert_allclose(np.exp(layer(STATES)).sum(axis=-1), np.ones(9), atol=1e-6)


def test_cross_entropies_are_those_of_frequent_and_of_rare_words(layer: AdaptiveSoftmax) -> None:
    labels = np.array([0, 1, 2, 3, 4, 5, 6, 8, 9], dtype="int32")
    expected = -log_probabilities_by_hand(layer)[np.arange(9), labels]

    np.testing.assert_allclose(layer.cross_entropies(STATES, labels), expected, atol=1e-5)


def test_cross_entropy_sum_has_the_gradients_of_the_plain_loss(layer: AdaptiveSoftmax) -> None:
    labels = tf.constant([0, 9, 2, 4, 3, 5, 6, 8, 9])
    is_counted = tf.constant([True, True, True, True, True, False, True, False, True])
    variables = [weight.value for weight in layer.weights]
    with tf.GradientTape(persistent=True) as tape:
        loss = layer.cross_entropy_sum(tf.constant(STATES), labels, is_counted)
        picked = tf.gather(layer(STATES), labels, axis=1, batch_dims=1)
        plain = -tf.reduce_sum(tf.boolean_mask(picked, is_counted))

    assert float(loss) == pytest.approx(float(plain), rel=1e-5)
    for found, expected in zip(tape.gradient(loss, variables), tape.gradient(plain, variables), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(found), expected, atol=1e-5)


def test_config_makes_the_same_layer(layer: AdaptiveSoftmax) -> None:
    copy = AdaptiveSoftmax.from_config(layer.get_config())

    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize("num_frequent_words", [0, 10, 11])
def test_a_cluster_without_words_is_refused(num_frequent_words: int) -> None:
    with pytest.raises(ValueError, match=f"num_frequent_words={num_frequent_words} .*less than the 10 words"):
        AdaptiveSoftmax(10, num_frequent_words, rare_word_dim=2)
