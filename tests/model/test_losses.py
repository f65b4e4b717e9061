import math

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.losses import loss_of_batch, negative_log_likelihood, perplexity
from minigpt_pipeline.model.mini_gpt import MiniGPT

RNG = np.random.default_rng(6)
LOGITS = RNG.normal(size=(7, 5)).astype("float32") * 3
LABELS = np.array([0, 1, 2, 3, 4, 4, 0], dtype="int32")


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_negative_log_likelihood_agrees_with_a_computation_by_hand() -> None:
    expected = [-math.log(row[label]) for row, label in zip(softmax(LOGITS), LABELS, strict=True)]

    np.testing.assert_allclose(negative_log_likelihood(LOGITS, LABELS), expected, atol=1e-5)


def test_negative_log_likelihood_has_the_gradient_of_the_softmax() -> None:
    logits, weights = tf.constant(LOGITS), RNG.normal(size=7).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(negative_log_likelihood(logits, tf.constant(LABELS)) * weights)

    expected = (softmax(LOGITS) - np.eye(5)[LABELS]) * weights[:, None]

    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


def test_negative_log_likelihood_of_large_logits_is_finite() -> None:
    logits = np.array([[1e4, 0.0, -1e4]], dtype="float32")

    assert float(negative_log_likelihood(logits, np.array([2], dtype="int32"))[0]) == 2e4


def test_negative_log_likelihood_of_bfloat16_is_taken_in_float32() -> None:
    losses = negative_log_likelihood(tf.cast(LOGITS, "bfloat16"), LABELS)

    assert losses.dtype == "float32"


def test_loss_of_batch_sums_over_words_and_leaves_padding_out(model: MiniGPT, alphabets: np.ndarray) -> None:
    inputs, labels = alphabets[12:, :-1], alphabets[12:, 1:]
    probabilities = softmax(np.array(model(inputs)))

    loss_sum, num_words = loss_of_batch(model, inputs, labels)

    words = [(row, place) for row, place in np.ndindex(labels.shape) if labels[row, place]]
    expected = -sum(math.log(probabilities[row, place, labels[row, place]]) for row, place in words)
    assert float(num_words) == len(words) == 3 * 8 + 5 * 4
    assert float(loss_sum) == pytest.approx(expected, rel=1e-5)


def test_perplexity_is_the_exponential_of_the_loss() -> None:
    assert perplexity(math.log(100)) == pytest.approx(100)
    assert perplexity(1e4) == math.inf
