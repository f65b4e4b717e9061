"""Parameters: any value for every model, and any string for `--params`."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.hostile.fuzz.target import Target, UnexplainedError

PROJECT = Path(__file__).parents[3]
SEPARATOR = b"\n---\n"


def read_valid() -> dict[str, Any]:
    """Return the values of `conf/base` by the names of the models that take them."""
    from kedro.config import OmegaConfigLoader

    from minigpt_pipeline.settings import CONFIG_LOADER_ARGS

    patterns = {"serving": ["serving*"], "schedules": ["schedules*"]}
    arguments = CONFIG_LOADER_ARGS | {"config_patterns": patterns, "default_run_env": "base"}
    loader = OmegaConfigLoader(str(PROJECT / "conf"), env="base", **arguments)
    return {**loader["parameters"], "serving": loader["serving"], "schedules": loader["schedules"]}


def make_seeds() -> Iterator[bytes]:
    """Yield what `conf/base` says, a group each, and some of `--params`."""
    for name, values in read_valid().items():
        yield name.encode() + SEPARATOR + json.dumps(values, default=str).encode()
    for params in (
        "model.num_heads=4,model.head_dim=null",
        "training.seed=1e999",
        'comparison.runs="1234"',
        "a.b=[1,{}]",
    ):
        yield b"params" + SEPARATOR + params.encode()
    yield b"yaml" + SEPARATOR + b"a: &a [1.0e+999, .nan]\nb: *a\n"


def prepare() -> Callable[[bytes], None]:
    """Return what gives an input to the model that it names."""
    import click
    from pydantic import ValidationError

    models = list_models()

    def take(content: bytes) -> None:
        name, _, body = content.partition(SEPARATOR)
        try:
            give(models, name.decode("ascii", "replace"), body.decode("utf-8", "surrogateescape"))
        except ValidationError as error:
            if not all(one["msg"] for one in error.errors(include_url=False)):
                raise UnexplainedError(str(error)) from error
        except (ValueError, click.ClickException) as error:
            if not str(error).strip():
                raise UnexplainedError(repr(error)) from error

    return take


def list_models() -> dict[str, Any]:
    """Return all models of parameters, by the names that they have in `conf`."""
    from minigpt_pipeline import parameters
    from minigpt_pipeline.serving.settings import ServingSettings

    models = {
        name.removesuffix("Parameters").lower(): model
        for name, model in vars(parameters).items()
        if isinstance(model, type)
        and issubclass(model, parameters.Parameters)
        and name.endswith("Parameters")
    }
    return models | {"compute": parameters.ComputeSettings, "serving": ServingSettings}


def give(models: Mapping[str, Any], group: str, text: str) -> None:
    """Give a value to the model of a group, or a string to `--params`."""
    from minigpt_pipeline.cli import run
    from minigpt_pipeline.scheduling.schedule_settings import check_settings

    if group == "params":
        context = run.make_context("run", ["--params", text])
        for name, value in context.params["params"].items():
            if name in models:
                validate(models[name], value)
        return
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("It is the fuzzer's own JSON that is nested too deep") from error
    if group == "schedules":
        check_settings(value, PROJECT)
    else:
        validate(models.get(group, models["model"]), value)


def validate(model: Any, value: Any) -> None:
    """Make a model of a value, and see that it can be made again from what it holds."""
    made = model.model_validate(value)
    again = model.model_validate(made.model_dump())
    if again != made:
        raise UnexplainedError(f"{made!r} is read again as {again!r}")
    if has_infinite(made.model_dump()):
        raise UnexplainedError(f"{made!r} has a number that is not finite")


def has_infinite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(has_infinite, value.values()))
    return isinstance(value, list | tuple) and any(map(has_infinite, value))


TARGET = Target(make_seeds, prepare, max_input_size=8192)
