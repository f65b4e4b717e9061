import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.cross_entropy import cross_entropies, cross_entropy_sum

RNG = np.random.default_rng(9)
STATES = RNG.normal(size=(7, 4)).astype("float32")
KERNEL = RNG.normal(size=(5, 4)).astype("float32")
BIAS = RNG.normal(size=5).astype("float32")
LABELS = np.array([0, 1, 2, 3, 4, 4, 0], dtype="int32")
IS_COUNTED = np.array([True, False, True, True, False, True, True])


def probabilities_by_hand() -> np.ndarray:
    exponentials = np.exp(STATES.astype("float64") @ KERNEL.T + BIAS)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_cross_entropies_agree_with_a_computation_by_hand() -> None:
    expected = -np.log(probabilities_by_hand()[np.arange(7), LABELS])

    np.testing.assert_allclose(cross_entropies(STATES, KERNEL, BIAS, LABELS), expected, atol=1e-5)


def test_cross_entropy_sum_adds_the_rows_that_count() -> None:
    expected = -np.log(probabilities_by_hand()[np.arange(7), LABELS])[IS_COUNTED].sum()

    found = cross_entropy_sum(STATES, KERNEL, BIAS, tf.constant(LABELS), tf.constant(IS_COUNTED))

    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_sum_does_not_look_at_labels_that_do_not_count() -> None:
    labels = np.where(IS_COUNTED, LABELS, -7).astype("int32")

    found = cross_entropy_sum(STATES, KERNEL, BIAS, tf.constant(labels), tf.constant(IS_COUNTED))

    assert float(found) == pytest.approx(
        float(cross_entropy_sum(STATES, KERNEL, BIAS, tf.constant(LABELS), tf.constant(IS_COUNTED)))
    )


def test_cross_entropy_sum_has_the_gradients_of_the_plain_loss() -> None:
    weights = [tf.constant(STATES), tf.constant(KERNEL), tf.constant(BIAS)]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = cross_entropy_sum(*weights, tf.constant(LABELS), tf.constant(IS_COUNTED))
    difference = (probabilities_by_hand() - np.eye(5)[LABELS]) * IS_COUNTED[:, None]

    expected = (difference @ KERNEL, difference.T @ STATES, difference.sum(axis=0))

    for gradient, by_hand in zip(tape.gradient(loss, weights), expected, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), by_hand, atol=1e-5)
