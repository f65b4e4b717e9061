import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from minigpt_pipeline.parameters import SweepParameters
from minigpt_pipeline.pipelines.sweep import nodes
from minigpt_pipeline.pipelines.sweep.nodes import plot_parameters, plot_search, search_parameters
from minigpt_pipeline.search.study_store import StudyStore
from tests.search.conftest import ListSweepLog

SearchReal = Callable[..., tuple[pd.DataFrame, pd.DataFrame, ListSweepLog]]


@pytest.fixture
def search(training_inputs: dict[str, Any], tmp_path: Path) -> SearchReal:
    """A search that trains for real: two letters wide, steps of milliseconds."""

    def run(prompt: str = "a b", **trial: Any) -> tuple[pd.DataFrame, pd.DataFrame, ListSweepLog]:
        inputs = {name.removeprefix("params:"): value for name, value in training_inputs.items()}
        del inputs["training_log"], inputs["checkpoints"]
        inputs["generation"] = inputs["generation"].model_copy(update={"prompts": [prompt]})
        limits = {"max_steps": 4, "max_minutes": None, "evaluate_every_steps": 2, "timed_steps": None}
        sweep = SweepParameters(
            seed=1,
            max_minutes=5,
            max_trials=2,
            random_trials=2,
            trial=limits | trial,
            pruning=None,
            space=[{"name": "model.embed_dim", "choices": [8, 16]}],
        )
        log = ListSweepLog()
        study = StudyStore(tmp_path / "sweep.db")
        trials, looks, _ = search_parameters(**inputs, sweep=sweep, sweep_study=study, sweep_log=log)
        return trials, looks, log

    return run


@pytest.mark.full
def test_a_model_that_tensorflow_has_no_memory_for_ends_its_trial_alone(
    search: SearchReal, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    train_model = nodes.train_model

    def train(*inputs: Any) -> Any:
        monkeypatch.setattr(nodes, "train_model", train_model)
        raise tf.errors.ResourceExhaustedError(None, None, "Graph execution error:\n\nDetected at node")

    monkeypatch.setattr(nodes, "train_model", train)

    trials, _, _ = search()

    assert trials["state"].tolist() == ["pruned", "complete"]
    assert trials["reason"].tolist() == ["the model does not fit in memory", ""]


@pytest.mark.full
def test_a_trial_that_is_timed_takes_the_steps_of_its_minutes_whatever_its_epochs_are(
    search: SearchReal,
) -> None:
    limits = {"max_steps": 40, "max_minutes": 0.05, "evaluate_every_steps": 100, "timed_steps": 2}

    trials, looks, log = search(**limits)

    assert trials["state"].tolist() == ["complete", "complete"]
    for number, trial_looks in looks.groupby("trial"):
        steps = int(log.trials[number].facts["max_steps"])
        assert steps > 15  # of the five epochs that training has
        assert trial_looks["step"].max() == steps


def test_what_no_trial_could_write_ends_the_search_before_the_first(
    search: SearchReal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "train_model", None)

    with pytest.raises(ValueError, match="None of the words of the prompt 'Zebra'"):
        search(prompt="Zebra")


@pytest.fixture
def trials() -> pd.DataFrame:
    """As `tabulate_trials` gives them: three trained to their end."""
    return pd.DataFrame(
        {
            "trial": [0, 1, 2],
            "state": "complete",
            "loss": [4.5, 4.2, 4.4],
            "seconds": 480.0,
            "reason": "",
            "retries": pd.array([None] * 3, "Int64"),
            "model.embed_dim": ["192", "256", "256"],
            "training.optimizer.learning_rate": [json.dumps(rate) for rate in (0.0028216, 0.0161234, 0.005)],
            "training.optimizer.name": ['"adam"', '"muon"', '"muon"'],
        }
    )


def test_few_values_stand_below_their_panel_and_many_on_a_scale(trials: pd.DataFrame) -> None:
    width, rate, name, *_ = plot_parameters(trials).axes

    assert [text.get_text() for text in width.get_xticklabels()] == ["192", "256"]
    assert rate.get_xscale() == "log"
    assert "0.0028216" not in [text.get_text() for text in rate.get_xticklabels()]
    assert [text.get_text() for text in name.get_xticklabels()] == ["adam", "muon"]


@pytest.mark.parametrize(("state", "is_named"), [("complete", False), ("pruned", True)])
def test_the_legend_names_what_is_there(trials: pd.DataFrame, state: str, is_named: bool) -> None:
    trials.loc[2, "state"] = state

    (axes,) = plot_search(trials).axes

    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert ("given up, or not ended" in named) is is_named
