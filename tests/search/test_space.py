from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from minigpt_pipeline.parameters import (
    ModelParameters,
    SearchedParameter,
    SweepParameters,
    TrainingParameters,
)
from minigpt_pipeline.search.space import configured_values, possible_values, without_effect
from minigpt_pipeline.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[2]
BASE = {
    "model": {"output_layer": "full"},
    "training": {"optimizer": {"name": "adam", "decay": "constant"}},
}
OTHER_OPTIMIZERS = {"name": "training.optimizer.name", "choices": ["adam", "muon"]}


def make_space(*parameters: dict[str, Any]) -> list[SearchedParameter]:
    return [SearchedParameter(**parameter) for parameter in parameters]


def test_possible_values_are_those_of_the_space_or_the_configured_one() -> None:
    space = make_space(OTHER_OPTIMIZERS, {"name": "training.optimizer.decay_steps", "low": 5, "high": 9})

    assert possible_values("training.optimizer.name", BASE, space) == ["adam", "muon"]
    assert possible_values("training.optimizer.decay_steps", BASE, space) == [5, 9]
    assert possible_values("model.output_layer", BASE, space) == ["full"]


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("training.optimizer.adam_learning_rate", "training.optimizer.name=muon"),
        ("training.optimizer.decay_steps", "training.optimizer.decay=cosine"),
        ("model.num_frequent_words", "model.output_layer=adaptive"),
        ("model.rare_word_dim", "model.output_layer=adaptive"),
    ],
)
def test_a_parameter_is_without_effect_unless_a_trial_has_what_it_needs(name: str, needed: str) -> None:
    searched = {"name": name, "choices": [4, 8]}
    other, value = needed.split("=")

    assert without_effect(BASE, make_space(searched)) == {name: needed}
    assert not without_effect(BASE, make_space(searched, {"name": other, "choices": [value]}))


@pytest.mark.parametrize("environment", ["base", "sample", "test"])
def test_the_space_of_an_environment_suits_its_model(environment: str) -> None:
    """What is configured is tried first, and nothing is searched that it does not have."""
    loader = OmegaConfigLoader(str(PROJECT / "conf"), env=environment, **CONFIG_LOADER_ARGS)
    parameters = loader["parameters"]
    base = {
        "model": ModelParameters(**parameters["model"]).model_dump(),
        "training": TrainingParameters(**parameters["training"]).model_dump(),
    }
    sweep = SweepParameters(**parameters["sweep"])

    assert configured_values(base, sweep.space)
    assert not without_effect(base, sweep.space)
