"""What training does to a model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigpt_pipeline.model.evaluation import evaluate
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.training_loop import TrainingOutcome
from tests.behaviour.conftest import OPTIONS
from tests.windows import as_windows

Train = Callable[..., TrainingOutcome]


def test_one_batch_is_overfitted(make_model: Callable[..., MiniGPT], train_for: Train) -> None:
    # Each begins with a letter of its own, so that all that follows can be known.
    batch = np.random.default_rng(1).integers(2, 28, size=(8, 9)).astype("int32")
    batch[:, 0] = np.arange(8) + 2
    model = make_model(1)

    train_for(model, batch, steps=300)

    assert evaluate(model, as_windows(batch), batch_size=8).mean() < 0.02


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_padding_does_not_move_the_loss(
    make_model: Callable[..., MiniGPT], sequences: np.ndarray, options: dict[str, Any]
) -> None:
    model = make_model(1, **options)
    short = sequences[:, :5]
    padded = np.pad(short, ((0, 3), (0, 4)))

    measured = evaluate(model, as_windows(padded), batch_size=23).losses
    assert measured == pytest.approx(evaluate(model, as_windows(short), batch_size=20).losses, abs=1e-6)


def test_padding_does_not_move_the_weights(
    make_model: Callable[..., MiniGPT], train_for: Train, sequences: np.ndarray
) -> None:
    """Dropout draws by place, so it is left out; Adam would make noise of gradients that are zero but for rounding."""
    models = [make_model(1), make_model(1)]
    for model, part in zip(
        models, (sequences[:8, :5], np.pad(sequences[:8, :5], ((0, 0), (0, 4)))), strict=True
    ):
        for block in model.blocks:
            block.attention_dropout.rate = block.feed_forward_dropout.rate = 0.0
        train_for(model, part, steps=3, optimizer="sgd")

    for weight, padded_weight in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(weight, padded_weight, atol=1e-5)


@pytest.mark.slow
def test_bfloat16_trains_nearly_as_float32_does(
    make_model: Callable[..., MiniGPT], train_for: Train, sequences: np.ndarray
) -> None:
    """With every option at once, and without dropout, which draws from another seed in a copy of the model."""
    losses = []
    for precision in ("float32", "mixed_bfloat16"):
        model = make_model(1, **OPTIONS[-1], dropout=0.0)
        outcome = train_for(model, sequences, steps=20, precision=precision)
        losses.append(outcome.summary["best_validation_loss"])

    assert losses[0] < 2.8  # ln 26 = 3.26 without any learning
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_equal_seeds_give_equal_weights(
    make_model: Callable[..., MiniGPT], train_for: Train, sequences: np.ndarray, precision: str
) -> None:
    first, again = make_model(1), make_model(1)
    for model in (first, again):
        train_for(model, sequences, steps=5, precision=precision)

    assert have_equal_weights(first, again)


@pytest.mark.parametrize(("weights_seed", "order_seed"), [(2, 0), (1, 3)])
def test_other_seeds_give_other_weights(
    make_model: Callable[..., MiniGPT],
    train_for: Train,
    sequences: np.ndarray,
    weights_seed: int,
    order_seed: int,
) -> None:
    first, other = make_model(1), make_model(weights_seed)
    train_for(first, sequences, steps=3, optimizer="sgd")
    train_for(other, sequences, steps=3, seed=order_seed, optimizer="sgd")

    assert not have_equal_weights(first, other)


def have_equal_weights(first: MiniGPT, second: MiniGPT) -> bool:
    """Whether all weights are equal, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
