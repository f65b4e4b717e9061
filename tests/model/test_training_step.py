"""The optimizer that the parameters ask for, and the step that it takes."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model import training_step
from minigpt_pipeline.model.losses import loss_of_batch
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.training_step import compile_step, make_learning_rate, make_optimizer
from minigpt_pipeline.parameters import OptimizerParameters
from minigpt_pipeline.text.language_model_pairs import make_language_model_pairs


def optimizer_parameters(**settings: Any) -> OptimizerParameters:
    return OptimizerParameters(**{"name": "sgd", "learning_rate": 0.5} | settings)


def learning_rates(steps: list[int], last_step: int = 100, **settings: Any) -> list[float]:
    schedule = make_learning_rate(optimizer_parameters(**settings), last_step)
    return [float(schedule(step)) for step in steps]  # type: ignore[operator]


def test_learning_rate_is_a_number_where_nothing_changes_it() -> None:
    assert make_learning_rate(optimizer_parameters(), last_step=100) == 0.5


def test_learning_rate_rises_in_the_warm_up_and_stays() -> None:
    assert learning_rates([0, 5, 10, 99], warmup_steps=10) == pytest.approx([0, 0.25, 0.5, 0.5])


def test_learning_rate_falls_along_half_a_cosine() -> None:
    found = learning_rates([0, 25, 50, 100, 150], decay="cosine")

    assert found == pytest.approx([0.5, 0.25 * (1 + math.cos(math.pi / 4)), 0.25, 0, 0])


@pytest.mark.parametrize(("decay_steps", "end"), [(None, 100), (60, 60)])
def test_learning_rate_rises_and_falls_to_zero_at_its_end(decay_steps: int | None, end: int) -> None:
    steps = [0, 5, 10, (10 + end) // 2, end]
    found = learning_rates(steps, warmup_steps=10, decay="cosine", decay_steps=decay_steps)

    assert found == pytest.approx([0, 0.25, 0.5, 0.25, 0], abs=1e-7)


@pytest.fixture
def take_steps(make_model: Callable[..., MiniGPT], alphabets: np.ndarray) -> Callable[..., list[np.ndarray]]:
    """Train the small model without dropout on the batches of given rows, and return its weights."""

    def take(batches: list[slice], **settings: Any) -> list[np.ndarray]:
        model = make_model(dropout=0.0)
        optimizer = make_optimizer(optimizer_parameters(**settings), "float32", last_step=10)
        rows = len(alphabets[batches[0]])
        step = compile_step(model, optimizer, (rows, 8))
        for batch in batches:
            step(*make_language_model_pairs(alphabets[batch]))
        if settings.get("average_momentum"):
            optimizer.finalize_variable_values(model.trainable_variables)
        return [np.array(weight) for weight in model.trainable_variables]

    return take


TakeSteps = Callable[..., list[np.ndarray]]
FIRST, SECOND, BOTH = slice(0, 4), slice(4, 8), slice(0, 8)


def distance(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(first, second, strict=True)))


def test_accumulation_takes_one_step_for_the_mean_of_the_gradients(take_steps: TakeSteps) -> None:
    accumulated = take_steps([FIRST, SECOND], accumulation_steps=2)
    at_once = take_steps([BOTH])

    for weight, expected in zip(accumulated, at_once, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-6)


def test_clipping_bounds_the_length_of_a_step(take_steps: TakeSteps, make_model: Any) -> None:
    start = [np.array(weight) for weight in make_model(dropout=0.0).trainable_variables]

    free, clipped = take_steps([BOTH]), take_steps([BOTH], clip_norm=0.1)

    assert distance(free, start) > 0.1
    assert distance(clipped, start) == pytest.approx(0.5 * 0.1, rel=1e-3)  # learning rate times norm


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weight_decay_takes_its_share_of_kernels_and_of_nothing_else(
    take_steps: TakeSteps, make_model: Any, name: str
) -> None:
    plain = take_steps([BOTH], name=name, weight_decay=0.0)
    decayed = take_steps([BOTH], name=name, weight_decay=0.1)

    for variable, without, having in zip(
        make_model(dropout=0.0).trainable_variables, plain, decayed, strict=True
    ):
        start = np.array(variable)
        expected = without - (0.5 * 0.1 * start if "kernel" in variable.path else 0)
        np.testing.assert_allclose(having, expected, atol=1e-5, err_msg=variable.path)


def orthogonalized_by_hand(matrix: np.ndarray) -> np.ndarray:
    """Push the singular values of a matrix towards 1, with five steps of the odd polynomial of Jordan et al., 2024."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values /= math.sqrt((values**2).sum())
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return (left * values) @ right


def test_muon_orthogonalizes_the_kernels_of_blocks_and_leaves_the_rest_to_adam(
    take_steps: TakeSteps, make_model: Any
) -> None:
    descended = take_steps([BOTH], learning_rate=1.0)
    by_adam = take_steps([BOTH], name="adam", learning_rate=0.002)

    found = take_steps([BOTH], name="muon", learning_rate=0.01, adam_learning_rate=0.002)

    variables = make_model(dropout=0.0).trainable_variables
    by_muon = [
        variable.path for variable in variables if "block" in variable.path and "kernel" in variable.path
    ]
    assert len(by_muon) == 4  # into and out of the attention, expansion and contraction
    for variable, after, descent, adam in zip(variables, found, descended, by_adam, strict=True):
        expected = adam
        if variable.path in by_muon:
            start = np.array(variable)
            scale = (
                0.01 * 0.2 * math.sqrt(max(start.shape))
            )  # as long as Adam's moves: Liu et al., 2025, equation 4
            expected = start - scale * orthogonalized_by_hand(start - descent)
        np.testing.assert_allclose(after, expected, atol=2e-5, err_msg=variable.path)


def test_average_is_that_of_the_weights_over_time(take_steps: TakeSteps) -> None:
    one, two = take_steps([FIRST]), take_steps([FIRST, SECOND])

    averaged = take_steps([FIRST, SECOND], average_momentum=0.75)

    for weight, first, second in zip(averaged, one, two, strict=True):
        np.testing.assert_allclose(weight, 0.75 * first + 0.25 * second, atol=1e-6)


def test_a_batch_that_devices_can_t_share_is_refused(make_model: Any) -> None:
    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(
        ValueError, match=r"batch_size=8 can't be divided among 3 devices: make it a multiple of 3"
    ):
        compile_step(
            make_model(), make_optimizer(optimizer_parameters(), "float32", 10), (8, 8), strategy=Three()
        )


def test_xla_takes_the_same_step(make_model: Any, alphabets: np.ndarray) -> None:
    losses = []
    for xla in (False, True):
        model = make_model(dropout=0.0)
        step = compile_step(model, make_optimizer(optimizer_parameters(), "float32", 10), (8, 8), xla=xla)
        losses.append([float(step(*make_language_model_pairs(alphabets[BOTH]))[0]) for _ in range(3)])

    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert losses[0][2] < losses[0][0]


@pytest.mark.parametrize("xla", [False, True])
def test_xla_compiles_loss_and_gradients(xla: bool, make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_text(model: Any, inputs: Any, labels: Any, **options: Any) -> tuple[Any, Any]:
        loss, words = loss_of_batch(model, inputs, labels, **options)
        return loss + tf.cast(tf.strings.length(tf.strings.as_string(labels[0, 0])), tf.float32), words

    monkeypatch.setattr(training_step, "loss_of_batch", with_text)
    optimizer = make_optimizer(optimizer_parameters(), "float32", 10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="XLA") if xla else nullcontext():
        step = compile_step(make_model(), optimizer, (8, 8), xla=xla)
        step(*[np.ones((8, 8), np.int32)] * 2)
