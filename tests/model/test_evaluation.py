import math

import numpy as np
import pytest

from minigpt_pipeline.model.evaluation import Evaluator, evaluate
from minigpt_pipeline.model.mini_gpt import MiniGPT


def measure_by_hand(model: MiniGPT, sequences: np.ndarray) -> float:
    """One sequence at a time, without padding, in float64 from the logits on."""
    losses: list[float] = []
    for sequence in sequences:
        words = sequence[sequence != 0]
        logits = np.array(model(words[None, :-1]))[0].astype("float64")
        for row, word in zip(logits, words[1:], strict=True):
            losses.append(math.log(np.exp(row).sum()) - row[word])
    return float(np.mean(losses))


def test_evaluate_is_the_mean_over_words(model: MiniGPT, alphabets: np.ndarray) -> None:
    measured = evaluate(model, alphabets, batch_size=8)

    assert measured["loss"] == pytest.approx(measure_by_hand(model, alphabets), abs=1e-5)
    assert measured["perplexity"] == pytest.approx(math.exp(measured["loss"]))
    assert measured["words"] == 15 * 8 + 5 * 4


@pytest.mark.parametrize("batch_size", [1, 7, 20, 64])
def test_evaluate_does_not_depend_on_the_batches(
    model: MiniGPT, alphabets: np.ndarray, batch_size: int
) -> None:
    expected = evaluate(model, alphabets, batch_size=8)

    assert evaluate(model, alphabets, batch_size) == pytest.approx(expected, abs=1e-6)


def test_evaluate_counts_unknown_words_as_words(model: MiniGPT) -> None:
    sequences = np.array([[1, 1, 2, 3], [2, 1, 0, 0]], dtype="int32")

    measured = evaluate(model, sequences, batch_size=2)

    assert (measured["words"], measured["unk_rate"]) == (4, 0.5)


def test_evaluator_sees_the_weights_as_they_are(model: MiniGPT, alphabets: np.ndarray) -> None:
    evaluator = Evaluator(model, batch_size=8)
    before = evaluator.evaluate(alphabets)
    model.set_weights([0 * weight for weight in model.get_weights()])

    assert before["loss"] != evaluator.evaluate(alphabets)["loss"] == pytest.approx(math.log(28))


def test_evaluate_refuses_to_measure_nothing(model: MiniGPT) -> None:
    with pytest.raises(ValueError, match=r"no word to score in 2 sequences of shape \(2, 3\)"):
        evaluate(model, np.array([[5, 0, 0], [0, 0, 0]], dtype="int32"), batch_size=2)
