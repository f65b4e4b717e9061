import signal
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.model import end_forecast
from minigpt_pipeline.model.compute import ComputeDevice
from minigpt_pipeline.model.evaluation import evaluate
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.training_loop import TrainingOutcome, train
from minigpt_pipeline.model.training_record import TrainingRecord
from minigpt_pipeline.model.training_sequences import PackedSequences, TruncatedSequences
from minigpt_pipeline.parameters import TrainingParameters
from minigpt_pipeline.text.sequences import truncate
from tests.windows import as_windows

MakeTraining = Callable[..., TrainingParameters]


@pytest.fixture
def run(
    model: MiniGPT, alphabets: np.ndarray, training_log: Any, make_training: MakeTraining
) -> Callable[..., TrainingOutcome]:
    """Train the small model; 20 sequences in batches of 8 are 3 steps an epoch."""

    def run(precision: str = "float32", callbacks: Any = (), **settings: Any) -> TrainingOutcome:
        training = make_training(**settings)
        return train(
            model,
            TruncatedSequences(alphabets, training.seed),
            as_windows(alphabets[::2]),
            training,
            TrainingRecord(training_log),
            device=ComputeDevice("CPU", precision),
            callbacks=callbacks,
        )

    return run


class Recorder(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.events.append("train begin")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"begin {epoch}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"end {epoch}")

    def on_train_end(self, logs: Any = None) -> None:
        self.events.append("train end")


@pytest.mark.parametrize(
    ("settings", "steps", "epochs", "ended_by"),
    [
        ({"epochs": 2}, 6, 2, "epochs"),
        ({"epochs": 9, "max_steps": 4}, 4, 2, "max_steps"),
        ({"epochs": 2, "max_steps": 6}, 6, 2, "max_steps"),
        ({"epochs": 9, "max_minutes": 1e-9}, 1, 1, "max_minutes"),
    ],
)
def test_train_ends_at_the_first_limit(
    run: Callable[..., TrainingOutcome], settings: dict[str, Any], steps: int, epochs: int, ended_by: str
) -> None:
    summary = run(**settings).summary

    assert (summary["steps"], summary["epochs"], summary["ended_by"]) == (steps, epochs, ended_by)


def test_train_warns_of_minutes_that_end_it_early(
    run: Callable[..., TrainingOutcome], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end_forecast, "TIMED_STEPS", 1)
    optimizer = {"name": "adam", "learning_rate": 0.01, "decay": "cosine", "decay_steps": 10**9}

    run(epochs=2, max_minutes=1, log_every_steps=1, optimizer=optimizer)

    assert caplog.text.count("max_minutes=1 ends the training near step") == 1


def test_train_calls_the_callbacks(run: Callable[..., TrainingOutcome]) -> None:
    recorder = Recorder()

    run(callbacks=[recorder], max_steps=4)

    assert recorder.events == ["train begin", "begin 0", "end 0", "begin 1", "train end"]


def test_train_logs_what_it_measures(run: Callable[..., TrainingOutcome], training_log: Any) -> None:
    outcome = run(epochs=2, log_every_steps=2)

    steps = [step for step, metrics in training_log.metrics if "train/loss" in metrics]
    assert steps == [2, 3, 4, 6]  # every second, and at the end of each epoch
    assert [step for step, metrics in training_log.metrics if "val/loss" in metrics] == [3, 6]
    assert training_log.values("train/learning_rate") == pytest.approx([0.01] * 4)
    assert np.log(training_log.values("train/perplexity")) == pytest.approx(training_log.values("train/loss"))
    assert min(training_log.values("train/tokens_per_second")) > 0
    assert training_log.values("val/unk_rate") == [0.0, 0.0]
    names = {name for _, metrics in training_log.metrics for name in metrics}
    assert set(outcome.history["name"]) == names - {"train/tokens_per_second", "train/seconds", "train/words"}


def test_train_logs_the_words_and_seconds_behind_each_measurement(
    run: Callable[..., TrainingOutcome], training_log: Any
) -> None:
    outcome = run(epochs=2, log_every_steps=2)

    logged = {
        (step, values["train/words"]) for step, values in training_log.metrics if "train/loss" in values
    }
    losses = outcome.history[outcome.history["name"] == "train/loss"]
    assert logged == set(zip(losses["step"], losses["words"], strict=True))
    assert training_log.values("train/seconds") == outcome.speed["seconds"].tolist()


def test_train_counts_words_and_not_padding(run: Callable[..., TrainingOutcome]) -> None:
    outcome = run(epochs=2)

    assert outcome.summary["words"] == 2 * (15 * 8 + 5 * 4)
    assert outcome.history["words"].max() == outcome.summary["words"]


def test_train_evaluates_every_so_many_steps(run: Callable[..., TrainingOutcome]) -> None:
    history = run(epochs=2, evaluate_every_steps=2).history

    assert history.loc[history["name"] == "val/loss", "step"].tolist() == [2, 3, 4, 6]


def test_train_keeps_the_weights_of_the_lowest_validation_loss(
    run: Callable[..., TrainingOutcome], model: MiniGPT, alphabets: np.ndarray
) -> None:
    outcome = run(
        epochs=8, max_steps=23, optimizer={"name": "adam", "learning_rate": 0.5}, evaluate_every_steps=1
    )

    losses = outcome.history[outcome.history["name"] == "val/loss"].set_index("step")["value"]
    assert losses.iloc[-1] > losses.min()  # it overshoots, so that the last weights are not the best
    assert outcome.summary["best_step"] == losses.idxmin()
    assert outcome.summary["best_validation_loss"] == losses.min()
    assert evaluate(model, as_windows(alphabets[::2]), batch_size=8).mean() == losses.min()


def test_train_lowers_the_loss_with_every_optimizer_and_precision(
    make_model: Callable[..., MiniGPT], alphabets: np.ndarray, training_log: Any, make_training: MakeTraining
) -> None:
    cases = [
        ("adam", 0.01, "float32"),
        ("sgd", 0.5, "float32"),
        ("adam", 0.01, "mixed_bfloat16"),
        ("adam", 0.01, "mixed_float16"),
    ]
    for name, learning_rate, precision in cases:
        model = make_model()
        before = evaluate(model, as_windows(alphabets), batch_size=8).mean()
        training = make_training(epochs=10, optimizer={"name": name, "learning_rate": learning_rate})

        sequences = TruncatedSequences(alphabets, training.seed)
        outcome = train(
            model,
            sequences,
            as_windows(alphabets),
            training,
            TrainingRecord(training_log),
            device=ComputeDevice("CPU", precision),
        )

        after = evaluate(model, as_windows(alphabets), batch_size=8).mean()
        assert after < 0.7 * before, (name, precision)
        assert outcome.summary["best_validation_loss"] == after  # measured and kept in float32
        assert {str(weight.dtype) for weight in model.weights} == {"float32"}


def test_train_stops_after_the_step_at_which_ctrl_c_is_pressed(
    run: Callable[..., TrainingOutcome], training_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = training_log.log

    def press_at_step_four(step: int, metrics: dict[str, float]) -> None:
        if step == 4 and "train/loss" in metrics:
            signal.raise_signal(signal.SIGINT)
        log(step, metrics)

    monkeypatch.setattr(training_log, "log", press_at_step_four)
    with pytest.raises(KeyboardInterrupt):
        run(epochs=50)

    assert max(step for step, _ in training_log.metrics) == 4


def test_train_aborts_on_a_second_ctrl_c(run: Callable[..., TrainingOutcome], training_log: Any) -> None:
    class Impatient(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[Impatient()], epochs=50)

    assert not training_log.metrics


def test_train_stops_where_the_loss_is_not_finite(run: Callable[..., TrainingOutcome]) -> None:
    with pytest.raises(
        FloatingPointError,
        match=r"training loss is (nan|inf) at step 2, epoch 1: try a smaller learning_rate \(now 1e\+30\)",
    ):
        run(optimizer={"name": "sgd", "learning_rate": 1e30})


@pytest.mark.parametrize(("rows", "part"), [((0, 20), "train"), ((20, 0), "validation")])
def test_train_refuses_a_part_without_words(
    model: MiniGPT,
    alphabets: np.ndarray,
    training_log: Any,
    make_training: MakeTraining,
    rows: tuple[int, int],
    part: str,
) -> None:
    sequences, record = TruncatedSequences(alphabets[: rows[0]], 0), TrainingRecord(training_log)

    with pytest.raises(ValueError, match=f"The {part} part, 0 sequences, has no word to predict"):
        train(model, sequences, as_windows(alphabets[: rows[1]]), make_training(), record)


def test_train_ends_when_patience_is_at_its_end(run: Callable[..., TrainingOutcome]) -> None:
    outcome = run(
        epochs=50, patience=3, evaluate_every_steps=1, optimizer={"name": "adam", "learning_rate": 0.5}
    )

    losses = outcome.history[outcome.history["name"] == "val/loss"].set_index("step")["value"]
    assert outcome.summary["ended_by"] == "patience"
    assert outcome.summary["steps"] == outcome.summary["best_step"] + 3 == losses.idxmin() + 3


def test_train_measures_an_average_of_the_weights_where_it_is_asked_for(
    run: Callable[..., TrainingOutcome],
) -> None:
    outcome = run(epochs=4, optimizer={"name": "sgd", "learning_rate": 0.5, "average_momentum": 0.999})

    # The average begins with the weights of the first step and stays close to them.
    losses = outcome.history[outcome.history["name"] == "val/loss"]["value"]
    assert losses.max() - losses.min() < 0.01
    trained = outcome.history[outcome.history["name"] == "train/loss"]["value"]
    assert trained.iloc[-1] < trained.iloc[0] - 0.1


def test_train_learns_from_packed_reviews_where_they_end(
    model: MiniGPT, training_log: Any, make_training: MakeTraining
) -> None:
    reviews = pa.table({"token_ids": pa.array([[2, 3, 4], [5, 6]] * 20, pa.list_(pa.int32()))})
    training = make_training(epochs=40, optimizer={"name": "adam", "learning_rate": 0.02})
    sequences = PackedSequences(reviews, model.sequence_length, training.seed)
    validation = as_windows(truncate(reviews[:2], model.sequence_length))

    train(model, sequences, validation, training, TrainingRecord(training_log))

    after_whole, within = np.array(model(np.array([[2, 3, 4]])))[0, [-1, 0]]
    assert (after_whole.argmax(), within.argmax()) == (0, 3)
