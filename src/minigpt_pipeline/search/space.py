"""From what a sampler suggests to the parameters of a trial."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minigpt_pipeline.parameters import SearchedParameter

if TYPE_CHECKING:
    from optuna.trial import Trial

Values = dict[str, Any]
"""Of the parameters that vary, by name: `{"model.num_blocks": 2}`."""

NEEDS = {
    "training.optimizer.adam_learning_rate": ("training.optimizer.name", "muon"),
    "training.optimizer.decay_steps": ("training.optimizer.decay", "cosine"),
    "model.num_frequent_words": ("model.output_layer", "adaptive"),
    "model.rare_word_dim": ("model.output_layer", "adaptive"),
}
"""Parameters that change nothing but beside this value of another one."""


def suggest(trial: "Trial", space: Sequence[SearchedParameter]) -> Values:
    """Ask the sampler for a value of each parameter.

    Args:
        trial: Optuna's; it stores them.
        space: The parameters, in an order that never changes.
    """
    return {parameter.name: _suggest(trial, parameter) for parameter in space}


def _suggest(trial: "Trial", parameter: SearchedParameter) -> Any:
    name, low, high = parameter.name, parameter.low, parameter.high
    if parameter.choices is not None:
        return trial.suggest_categorical(name, parameter.choices)
    if isinstance(low, int) and isinstance(high, int) and not isinstance(parameter.step, float):
        return trial.suggest_int(name, low, high, step=parameter.step or 1, log=parameter.log)
    return trial.suggest_float(
        name, float(low or 0), float(high or 0), step=parameter.step, log=parameter.log
    )


def configured_values(base: Mapping[str, Any], space: Sequence[SearchedParameter]) -> Values | None:
    """Return what is configured now, as values of the space; None where one of them is outside it.

    Args:
        base: `model` and `training`, as they are configured.
        space: The parameters.
    """
    values: Values = {}
    for parameter in space:
        value = _value_of(parameter.name, base)
        if not _holds(parameter, value):
            return None
        values[parameter.name] = value
    return values


def possible_values(name: str, base: Mapping[str, Any], space: Sequence[SearchedParameter]) -> list[Any]:
    """Return what trials may have for a parameter: what the space names, of a range both ends, or what is configured.

    Args:
        name: Such as `training.optimizer.decay`.
        base: `model` and `training`, as they are configured.
        space: The parameters that vary.
    """
    for parameter in space:
        if parameter.name == name:
            return parameter.choices or [parameter.low, parameter.high]
    return [_value_of(name, base)]


def without_effect(base: Mapping[str, Any], space: Sequence[SearchedParameter]) -> dict[str, str]:
    """Return the parameters that no trial is changed by, each with what it would need: `model.output_layer=adaptive`.

    Args:
        base: `model` and `training`, as they are configured.
        space: The parameters that vary.
    """
    searched = {parameter.name for parameter in space}
    return {
        name: f"{other}={value}"
        for name, (other, value) in NEEDS.items()
        if name in searched and value not in possible_values(other, base, space)
    }


def _value_of(name: str, base: Mapping[str, Any]) -> Any:
    value: Any = base
    for field in name.split("."):
        value = value[field]
    return value


def _holds(parameter: SearchedParameter, value: Any) -> bool:
    if parameter.choices is not None:
        return value in parameter.choices
    if value is None or not (parameter.low or 0) <= value <= (parameter.high or 0):
        return False
    steps = (value - (parameter.low or 0)) / parameter.step if parameter.step else 0.0
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def nest(values: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Put values where their names say: `{"model": {"num_blocks": 2}}`.

    Args:
        values: By name.
        base: What they are put into; it stays as it is.
    """
    nested: dict[str, Any] = copy.deepcopy(dict(base or {}))
    for name, value in values.items():
        *groups, field = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[field] = value
    return nested
