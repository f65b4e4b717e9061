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
    from kedro.framework.cli.utils import _split_params
    from pydantic import BaseModel, ValidationError

    from minigpt_pipeline import parameters
    from minigpt_pipeline.scheduling.schedule_settings import check_settings
    from minigpt_pipeline.serving.settings import ServingSettings

    models = {
        name.removesuffix("Parameters").lower(): model
        for name, model in vars(parameters).items()
        if isinstance(model, type) and issubclass(model, parameters.Parameters) and name.endswith("Parameters")
    } | {"compute": parameters.ComputeSettings, "serving": ServingSettings}  # fmt: skip
    context = click.Context(click.Command("run"))
    param = click.Option(["--params"])

    def validate(model: type[BaseModel], value: Any) -> None:
        made = model.model_validate(value)
        again = model.model_validate(made.model_dump())
        if again != made:
            raise UnexplainedError(f"{made!r} is read again as {again!r}")
        if has_infinite(made.model_dump()):
            raise UnexplainedError(f"{made!r} has a number that is not finite")

    def take(content: bytes) -> None:
        name, _, body = content.partition(SEPARATOR)
        group = name.decode("ascii", "replace")
        text = body.decode("utf-8", "surrogateescape")
        try:
            if group == "params":
                values = _split_params(context, param, text)
                for key, value in values.items():
                    if key in models:
                        validate(models[key], value)
            elif group == "schedules":
                check_settings(json.loads(text), PROJECT)
            else:
                validate(models.get(group, parameters.ModelParameters), json.loads(text))
        except ValidationError as error:
            if not all(one["msg"] for one in error.errors(include_url=False)):
                raise UnexplainedError(str(error)) from error
        except (
            RecursionError
        ) as error:  # of the JSON that the fuzzer writes, not of what a model does with it
            if "json" not in str(error) and "decoding" not in str(error):
                raise
        except (ValueError, click.ClickException) as error:
            if not str(error).strip():
                raise UnexplainedError(repr(error)) from error

    return take


def has_infinite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(has_infinite, value.values()))
    return isinstance(value, list | tuple) and any(map(has_infinite, value))


TARGET = Target(make_seeds, prepare, max_input_size=8192)
