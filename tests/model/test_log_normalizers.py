from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model import log_normalizers as module
from minigpt_pipeline.model.log_normalizers import log_normalizers, sum_log_normalizers

RNG = np.random.default_rng(8)
STATES = RNG.normal(size=(21, 6)).astype("float32")
KERNEL = RNG.normal(size=(11, 6)).astype("float32")
BIAS = RNG.normal(size=11).astype("float32")


@pytest.fixture(autouse=True)
def blocks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """21 rows are five blocks and a quarter."""
    monkeypatch.setattr(module, "BLOCK_ROWS", 4)


def normalizers_by_hand() -> np.ndarray:
    logits = STATES.astype("float64") @ KERNEL.T + BIAS
    return np.log(np.exp(logits).sum(axis=1))


def gradients_by_hand(num_counted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    logits = STATES.astype("float64") @ KERNEL.T + BIAS
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probabilities[num_counted:] = 0
    return probabilities @ KERNEL, probabilities.T @ STATES, probabilities.sum(axis=0)


def sum_with_gradients(num_counted: int, dtype: str = "float32") -> tuple[Any, list[Any]]:
    weights = [tf.constant(STATES), tf.constant(KERNEL), tf.constant(BIAS)]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        states = tf.cast(weights[0], dtype)
        doubled = 2 * sum_log_normalizers(states, weights[1], weights[2], num_counted)
    return doubled / 2, [gradient / 2 for gradient in tape.gradient(doubled, weights)]


def test_log_normalizers_agree_with_a_computation_by_hand() -> None:
    np.testing.assert_allclose(log_normalizers(STATES, KERNEL, BIAS), normalizers_by_hand(), atol=1e-5)


@pytest.mark.parametrize("num_counted", [0, 1, 4, 7, 21])
def test_sum_counts_the_first_rows_alone(num_counted: int) -> None:
    total, gradients = sum_with_gradients(num_counted)

    assert float(total) == pytest.approx(normalizers_by_hand()[:num_counted].sum(), rel=1e-6)
    for gradient, expected in zip(gradients, gradients_by_hand(num_counted), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_sum_in_bfloat16_stays_within_its_rounding() -> None:
    total, gradients = sum_with_gradients(21, "bfloat16")

    assert float(total) == pytest.approx(normalizers_by_hand().sum(), rel=2e-3)
    for gradient, expected in zip(gradients, gradients_by_hand(21), strict=True):
        assert np.linalg.norm(gradient - expected) < 1e-2 * np.linalg.norm(expected)


@pytest.mark.parametrize("largest", [74.0, 76.0, 1e4])
def test_normalizers_of_large_logits_are_finite_and_exact(largest: float) -> None:
    kernel = np.array([[largest], [0.0], [-largest]], dtype="float32")
    states, bias = np.ones((2, 1), dtype="float32"), np.zeros(3, dtype="float32")

    np.testing.assert_allclose(log_normalizers(states, kernel, bias), [largest, largest], rtol=1e-6)
    np.testing.assert_allclose(log_normalizers(states, kernel - largest, bias), [0, 0], atol=1e-6)
    assert float(sum_log_normalizers(states, kernel, bias, 2)) == pytest.approx(2 * largest)


def test_rows_that_do_not_count_cost_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """In eager mode each block that is worked on calls the softmax once."""
    calls: list[int] = []
    exponentials = module._exponentials
    monkeypatch.setattr(module, "_exponentials", lambda *args: calls.append(1) or exponentials(*args))

    sum_with_gradients(9)

    assert len(calls) == 3
