import shlex
from pathlib import Path
from typing import Any

import optuna
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.cli.project import run as run_command
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from minigpt_pipeline.parameters import ModelParameters, TrainingParameters
from minigpt_pipeline.search.outcome import describe_best
from minigpt_pipeline.search.space import nest
from minigpt_pipeline.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[2]
SPACE: dict[str, Any] = {
    "training.optimizer.learning_rate": FloatDistribution(1e-6, 0.1, log=True),
    "training.optimizer.adam_learning_rate": CategoricalDistribution([None, 0.01]),
    "training.optimizer.clip_norm": CategoricalDistribution([None, 2.0]),
    "training.sequences": CategoricalDistribution(["packed", "truncated"]),
    "model.head_dim": CategoricalDistribution([None, 32]),
    "model.num_blocks": IntDistribution(1, 5),
    "model.dropout": FloatDistribution(0.0, 0.3, step=0.05),
    "model.output_layer": CategoricalDistribution(["full", "adaptive"]),
    "model.tied_embeddings": CategoricalDistribution([True, False]),
}
BEST: dict[str, Any] = {
    "training.optimizer.learning_rate": 1e-05,
    "training.optimizer.adam_learning_rate": None,
    "training.optimizer.clip_norm": 2.0,
    "training.sequences": "truncated",
    "model.head_dim": None,
    "model.num_blocks": 5,
    "model.dropout": 3 * 0.05,  # 0.15000000000000002
    "model.output_layer": "full",
    "model.tied_embeddings": True,
}


def describe(values: dict[str, Any]) -> str:
    study = optuna.create_study()
    study.add_trial(optuna.create_trial(params=values, distributions=SPACE, value=4.2))
    return describe_best(study, "sample")


def load_parameters(runtime_params: dict[str, Any]) -> tuple[ModelParameters, TrainingParameters]:
    """Read `conf/` as `kedro run --env base` does."""
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"), env="base", runtime_params=runtime_params, **CONFIG_LOADER_ARGS
    )
    parameters = loader["parameters"]
    return ModelParameters(**parameters["model"]), TrainingParameters(**parameters["training"])


def test_the_command_of_the_best_trial_trains_with_its_values() -> None:
    first, second, *_ = describe(BEST).splitlines()

    assert first == "# Trial 0: validation loss 4.2000 nats per word."
    kedro, run, *arguments = shlex.split(second.removeprefix("# "))
    assert (kedro, run) == ("kedro", "run")
    options = run_command.make_context("run", arguments).params
    assert options["env"] == "sample"
    assert (params := options["params"]) == nest(BEST)
    base = {
        name: group.model_dump()
        for name, group in zip(("model", "training"), load_parameters({}), strict=True)
    }
    wanted = nest(BEST, base)
    assert load_parameters(params) == (
        ModelParameters(**wanted["model"]),
        TrainingParameters(**wanted["training"]),
    )


def test_the_file_of_the_best_trial_has_its_values() -> None:
    assert yaml.safe_load(describe(BEST)) == nest(BEST)
