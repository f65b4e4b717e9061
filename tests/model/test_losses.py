import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.losses import loss_of_batch
from minigpt_pipeline.model.mini_gpt import MiniGPT
from tests.model.conftest import OPTIONS


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"output_layer": "adaptive"},
        {"tied_embeddings": True},
        {"normalization": "pre"},
        {"positions": "rotary"},
        {"activation": "gelu"},
        {**OPTIONS, "tied_embeddings": True},
        {**OPTIONS, "output_layer": "adaptive"},
    ],
    ids=str,
)
def test_loss_of_batch_sums_over_words_and_leaves_padding_out(
    make_model: Any, alphabets: np.ndarray, sizes: dict[str, Any]
) -> None:
    model: MiniGPT = make_model(num_frequent_words=12, rare_word_dim=4, **sizes)
    inputs, labels = alphabets[12:, :-1], alphabets[12:, 1:]
    probabilities = softmax(np.array(model(inputs)))

    loss_sum, num_words = loss_of_batch(model, inputs, labels)

    words = [(row, place) for row, place in np.ndindex(labels.shape) if labels[row, place]]
    expected = -sum(math.log(probabilities[row, place, labels[row, place]]) for row, place in words)
    assert float(num_words) == len(words) == 3 * 8 + 5 * 4
    assert float(loss_sum) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sizes", [{}, *({name: value} for name, value in OPTIONS.items()), OPTIONS], ids=str)
def test_loss_and_gradients_in_bfloat16_are_nearly_those_in_float32(
    make_model: Any, alphabets: np.ndarray, sizes: dict[str, Any]
) -> None:
    model: MiniGPT = make_model(dropout=0.0, **sizes)
    losses, gradients = zip(
        *(find_gradients(copy, alphabets) for copy in (model, model.in_precision("mixed_bfloat16"))),
        strict=True,
    )

    assert losses[1] == pytest.approx(losses[0], rel=0.002)
    # Widths of eight columns round roughly.
    assert np.linalg.norm(gradients[1] - gradients[0]) < 0.1 * np.linalg.norm(gradients[0])


def find_gradients(model: MiniGPT, sequences: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the summed loss and its gradients, one behind another."""
    with tf.GradientTape() as tape:
        loss_sum, _ = loss_of_batch(model, sequences[:, :-1], sequences[:, 1:], training=True)
    gradients = tape.gradient(loss_sum, [variable.value for variable in model.trainable_variables])
    return float(loss_sum), np.concatenate([np.ravel(tf.convert_to_tensor(part)) for part in gradients])


def test_loss_of_batch_counts_the_end_of_a_review_where_it_shall_be_learnt(model: MiniGPT) -> None:
    inputs, labels = (
        np.array([[5, 6, 0, 7, 8], [9, 0, 0, 0, 0]]),
        np.array([[6, 0, 7, 8, 9], [0, 0, 0, 0, 0]]),
    )
    probabilities = softmax(np.array(model(inputs)))

    loss_sum, num_counted = loss_of_batch(model, inputs, labels, learn_ends=True)

    # Behind 6 and behind 9 stands an end; what follows an end is no end again.
    counted = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]
    expected = -sum(math.log(probabilities[row, place, labels[row, place]]) for row, place in counted)
    assert float(num_counted) == len(counted)
    assert float(loss_sum) == pytest.approx(expected, rel=1e-5)
