"""A training that is killed at any moment and started again ends as if it had never stopped."""

import itertools
import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from minigpt_pipeline.model import checkpoint_store, training_loop
from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.compute import ComputeDevice
from minigpt_pipeline.model.evaluation import Evaluator
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.text_generator import TextGenerator
from minigpt_pipeline.model.training_loop import TrainingOutcome, train
from minigpt_pipeline.model.training_record import TrainingRecord
from minigpt_pipeline.model.training_sequences import TruncatedSequences
from minigpt_pipeline.parameters import GenerationParameters, SamplingParameters, TrainingParameters
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.model.conftest import OPTIONS
from tests.windows import as_windows

GENERATION = GenerationParameters(
    prompts=["a b"],
    seeds=[0, 1],
    sampling=SamplingParameters(temperature=1.0, top_k=5, top_p=None, max_new_tokens=2, stop_token=None),
)
# Three steps an epoch: the first checkpoint holds losses that are not logged yet, the second a record and best weights.
SETTINGS = {"epochs": 2, "log_every_steps": 4, "evaluate_every_steps": 4, "checkpoint_every_steps": 2}


class KilledError(BaseException):
    """Stands for `kill -9`: nothing in the project catches it."""


@dataclass
class Events:
    """Names what happens in a training, and kills it or presses Ctrl-C at one of them."""

    killed_at: str | None = None
    pressed_at: str | None = None
    names: list[str] = field(default_factory=list)

    def happen(self, kind: str) -> None:
        name = f"{kind} {self.names.count(kind) + 1}"
        self.names.append(kind)
        if name == self.killed_at:
            raise KilledError
        if name == self.pressed_at:
            signal.raise_signal(signal.SIGINT)


@dataclass
class Ended:
    """All that a training leaves, but for what the clock measured."""

    weights: list[bytes]
    history: pd.DataFrame
    summary: dict[str, Any]
    samples: list[dict[str, Any]]
    logged: set[tuple[int, str, float]]

    def assert_equals(self, other: "Ended") -> None:
        assert self.weights == other.weights
        pd.testing.assert_frame_equal(self.history, other.history, check_exact=True)
        assert self.summary == other.summary
        assert self.samples == other.samples
        assert self.logged == other.logged


Attempt = Callable[..., Ended]


@pytest.fixture
def attempt(
    make_model: Callable[..., MiniGPT],
    make_training: Callable[..., TrainingParameters],
    alphabets: np.ndarray,
    letters: WordTokenizer,
    training_log: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Attempt:
    """Train, as a process of its own would, with the checkpoints that earlier attempts have left."""

    def run(
        events: Events | None = None,
        precision: str = "float32",
        sizes: Mapping[str, Any] = MappingProxyType({}),
        **settings: Any,
    ) -> Ended:
        log, model = type(training_log)(), make_model(**sizes)
        record = TrainingRecord(log)
        generator = TextGenerator(letters, GENERATION, 1, record)
        store = CheckpointStore(tmp_path / "checkpoints", keep=2)
        with monkeypatch.context() as patched:
            if events:
                report_events(patched, events, log, generator)
            training = make_training(**SETTINGS | settings)
            outcome = train(
                model,
                TruncatedSequences(alphabets, training.seed),
                as_windows(alphabets[::2]),
                training,
                record,
                device=ComputeDevice("CPU", precision),
                callbacks=[generator],
                checkpoints=store,
            )
        store.clear()
        return describe(model, outcome, log)

    return run


def describe(model: MiniGPT, outcome: TrainingOutcome, log: Any) -> Ended:
    logged = {(step, name, value) for step, metrics in log.metrics for name, value in metrics.items()}
    return Ended(
        [weight.tobytes() for weight in model.get_weights()],
        outcome.history,
        outcome.summary,
        log.samples,
        {row for row in logged if row[1] not in {"train/tokens_per_second", "train/seconds"}},
    )


def report_events(
    monkeypatch: pytest.MonkeyPatch, events: Events, log: Any, generator: TextGenerator
) -> None:
    """Let everything that takes time in a training say that it begins, or that it is done."""

    def report(target: Any, name: str, before: str = "", after: str = "") -> None:
        original = getattr(target, name)

        def reporting(*args: Any, **kwargs: Any) -> Any:
            if before:
                events.happen(before)
            result = original(*args, **kwargs)
            if after:
                events.happen(after)
            return result

        monkeypatch.setattr(target, name, reporting)

    compile_step = training_loop.compile_step

    def compile_reporting_step(*args: Any, **options: Any) -> Any:
        step = compile_step(*args, **options)

        def reporting_step(*batch: Any) -> Any:
            result = step(*batch)
            events.happen("step")
            return result

        return reporting_step

    monkeypatch.setattr(training_loop, "compile_step", compile_reporting_step)
    report(log, "log", before="log")
    report(log, "log_samples", after="samples")
    report(generator, "on_epoch_end", before="callback")
    report(Evaluator, "score", before="evaluation")
    report(checkpoint_store, "write_checkpoint", before="checkpoint", after="checkpoint before its rename")
    report(checkpoint_store, "_sync_folder", before="checkpoint after its rename", after="checkpoint done")


@contextmanager
def killed() -> Iterator[None]:
    with pytest.raises(KilledError):
        yield


def number(names: list[str]) -> list[str]:
    """Number the events of each kind: step 1, log 1, step 2, ..."""
    return [f"{name} {names[: place + 1].count(name)}" for place, name in enumerate(names)]


@pytest.mark.full
@pytest.mark.parametrize("every_event", [False, True])
def test_a_training_killed_at_any_event_ends_as_if_it_had_not_been(
    attempt: Attempt, every_event: bool
) -> None:
    events = Events()
    uninterrupted = attempt(events)
    assert {"step", "log", "samples", "callback", "evaluation", "checkpoint done"} <= set(events.names)
    names = number(events.names)

    for name in names if every_event else [name for name in names if name.endswith(" 2")]:  # one of each kind
        with killed():
            attempt(Events(killed_at=name))
        attempt().assert_equals(uninterrupted)


@pytest.mark.full
def test_a_training_in_which_ctrl_c_was_pressed_ends_as_if_it_had_not_been(attempt: Attempt) -> None:
    events = Events()
    uninterrupted = attempt(events)

    for name in (name for name in number(events.names) if name.endswith(" 2")):  # one of each kind
        with pytest.raises(KeyboardInterrupt):
            attempt(Events(pressed_at=name))
        attempt().assert_equals(uninterrupted)


def test_ctrl_c_saves_a_checkpoint_of_the_step_at_hand(
    attempt: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^training goes on behind step 3 of 6$"):
        attempt(Events(pressed_at="step 3"), checkpoint_every_steps=None)
    with caplog.at_level(logging.INFO):
        attempt(checkpoint_every_steps=None)

    assert any("Resuming from step 3 of 6" in message for message in caplog.messages)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "optimizer", "sizes"),
    [
        ("float32", "sgd", {}),
        pytest.param("float32", "adam", {"dropout": 0.5}, marks=pytest.mark.full),
        ("mixed_bfloat16", "adam", {**OPTIONS, "dropout": 0.5}),
        pytest.param("mixed_float16", "adam", {"dropout": 0.5}, marks=pytest.mark.full),
        pytest.param("mixed_float16", "sgd", {}, marks=pytest.mark.full),
    ],
)
def test_a_training_killed_again_and_again_ends_as_if_it_had_not_been(
    attempt: Attempt, precision: str, optimizer: str, sizes: dict[str, Any]
) -> None:
    options: dict[str, Any] = {
        "precision": precision,
        "sizes": sizes,
        "optimizer": {"name": optimizer, "learning_rate": 0.05},
        "epochs": 3,
        "evaluate_every_steps": 3,  # checkpoints hold losses that are not logged yet, and best weights
    }
    uninterrupted = attempt(**options)

    for steps in (3, 4):  # of each attempt, from its checkpoint: killed after 3 and 6
        with killed():
            attempt(Events(killed_at=f"step {steps}"), **options)
    attempt(**options).assert_equals(uninterrupted)


@pytest.mark.parametrize(
    ("settings", "saved_at"),
    [
        ({"checkpoint_every_steps": 2}, [2, 4]),  # the last step ends the training, and its model is saved
        ({"checkpoint_every_steps": None, "checkpoint_every_minutes": 0.0}, [1, 2, 3, 4, 5]),
        ({"checkpoint_every_steps": None, "checkpoint_every_minutes": 1000.0}, []),
        ({"checkpoint_every_steps": None}, []),
    ],
)
def test_checkpoints_are_saved_as_often_as_asked_for(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], saved_at: list[int]
) -> None:
    saved = []
    monkeypatch.setattr(CheckpointStore, "save", lambda _, checkpoint: saved.append(checkpoint.step))

    attempt(**settings)

    assert saved == saved_at


def test_checkpoints_change_nothing_in_what_comes_out(attempt: Attempt) -> None:
    without = attempt(checkpoint_every_steps=None)

    attempt(checkpoint_every_steps=1).assert_equals(without)


@pytest.mark.full
def test_a_killed_training_may_be_given_more_steps(attempt: Attempt) -> None:
    longer = attempt(epochs=3)

    with killed():
        attempt(Events(killed_at="step 5"), epochs=2)
    attempt(epochs=3).assert_equals(longer)


def test_a_checkpoint_at_the_end_is_measured_and_not_trained_further(attempt: Attempt) -> None:
    shorter = attempt(max_steps=4)

    with killed():
        attempt(Events(killed_at="step 5"))
    attempt(max_steps=4).assert_equals(shorter)


@pytest.mark.full
def test_the_minutes_of_all_attempts_count(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(monotonic=lambda: 600.0 * next(ticks)))
    with killed():
        attempt(Events(killed_at="step 5"))
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(monotonic=lambda: 0.0))  # of the next attempt

    summary = attempt(max_minutes=10).summary

    assert (summary["ended_by"], summary["steps"]) == ("max_minutes", 4)


def test_a_training_that_goes_on_says_so(attempt: Attempt, caplog: pytest.LogCaptureFixture) -> None:
    with killed():
        attempt(Events(killed_at="step 5"))
    with caplog.at_level(logging.INFO):
        attempt()

    assert "Resuming from step 4 of 6: " in caplog.text


def test_no_checkpoint_is_saved_of_a_loss_that_is_not_finite(attempt: Attempt, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"training loss is (nan|inf) at step 2"):
        attempt(optimizer={"name": "sgd", "learning_rate": 1e30}, checkpoint_every_steps=1)

    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000001.checkpoint"]


def test_best_weights_from_before_the_kill_are_kept(attempt: Attempt) -> None:
    settings = {"epochs": 3, "optimizer": {"name": "adam", "learning_rate": 5.0}, "evaluate_every_steps": 1}
    uninterrupted = attempt(**settings)
    assert uninterrupted.summary["best_step"] < 6  # it overshoots

    with killed():
        attempt(Events(killed_at="step 7"), **settings)
    attempt(**settings).assert_equals(uninterrupted)
