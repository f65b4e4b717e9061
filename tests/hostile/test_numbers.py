"""Parameters and settings that are no numbers, or such as no machine can count to."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from minigpt_pipeline.cli import run
from minigpt_pipeline.parameters import (
    DriftParameters,
    OptimizerParameters,
    SearchedParameter,
    SweepParameters,
    TrainingParameters,
)
from minigpt_pipeline.serving.settings import ServingError, read_settings
from tests.conftest import PROJECT
from tests.hostile.fuzz.parameters import list_models, read_valid


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "1e999", "nan", "Infinity"])
def test_what_is_not_finite_is_no_number(value: Any) -> None:
    """A learning rate of infinity was a number above zero."""
    with pytest.raises(ValidationError, match="learning_rate"):
        OptimizerParameters(name="adam", learning_rate=value)


@pytest.mark.slow
def test_no_field_of_any_model_takes_infinity() -> None:
    for name, values in read_valid().items():
        model = list_models().get(name)
        for field in model.model_fields if model else ():
            with pytest.raises(ValidationError):
                model.model_validate({**values, field: math.inf})


@pytest.mark.parametrize("value", [10**400, "9" * 5000, [[[]]] * 1000, {"a": {}}, b"\xff", "\ud800"])
@pytest.mark.parametrize("model", [TrainingParameters, DriftParameters, SearchedParameter])
def test_any_value_is_taken_or_told(model: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(dict.fromkeys(model.model_fields, value))
    with pytest.raises(ValidationError):
        model.model_validate(value)


def test_a_space_of_many_parameters_is_compared_in_time() -> None:
    space = [{"name": "model.num_heads", "choices": [1]}] * 20_000
    trial = {"max_steps": 1, "max_minutes": None, "evaluate_every_steps": 1, "timed_steps": None}
    sweep = {
        "seed": 1,
        "max_minutes": 9.0,
        "max_trials": 1,
        "random_trials": 1,
        "trial": trial,
        "pruning": None,
    }

    started = time.process_time()
    with pytest.raises(ValidationError, match=r"The space names model\.num_heads twice"):
        SweepParameters.model_validate(sweep | {"space": space})
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "params",
    [
        "training.seed=&x]",
        "a=[",
        "a={b: c: d}",
        "a=!!python/object/apply:os.system ['x']",
        "a=*x",
        "a=\x1b[31m]",
    ],
)
def test_a_value_of_params_that_is_no_yaml_is_told(params: str) -> None:
    """YAML's own error was a traceback."""
    result = CliRunner().invoke(run, ["--params", params])

    assert result.exit_code == 2, result.output
    assert "Invalid value for --params: a value is no YAML" in result.stderr
    assert result.stderr.replace("\n", "").isprintable()
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "text",
    [
        "- 1\n",
        "1: 2\n",
        "port: 99999\n",
        "port: .inf\n",
        "port: &a [*a]\n",
        "slots: " + "9" * 5000,
        "a: [" * 3000,
    ],
)
def test_settings_that_are_none_are_told(text: str, tmp_path: Path) -> None:  # fmt: skip
    shutil.copytree(PROJECT / "conf/base", tmp_path / "conf/base")
    (tmp_path / "conf/local").mkdir()
    (tmp_path / "conf/local/serving.yml").write_text(text)

    with pytest.raises(ServingError, match=r"conf/base/serving\.yml"):
        read_settings(tmp_path)


def test_what_the_command_line_says_is_checked_as_well() -> None:
    """`--port 99999` was a traceback."""
    with pytest.raises(ServingError, match="port=99999: Input should be less than or equal to 65535"):
        read_settings(PROJECT, {"port": 99999})
