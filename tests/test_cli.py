"""What a user reads when something is wrong: one message, and no traceback."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ValidationError

from minigpt_pipeline import parameters
from minigpt_pipeline.cli import describe_missing, describe_wrong_parameters, run
from minigpt_pipeline.pipeline_registry import register_pipelines

CONF = Path(__file__).parents[1] / "conf"
MODEL = {
    "sequence_length": 8, "embed_dim": 12, "num_heads": 3, "head_dim": None, "feed_forward_dim": 8, "num_blocks": 1,
    "dropout": 0.1,
}  # fmt: skip


def refuse(model: type[BaseModel], values: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        model(**values)
    return str(refused.value)


def kedro_says(found: dict[str, str]) -> str:
    """Return what Kedro 1.7 makes of pydantic's messages."""
    lines = (
        f"- Parameter '{name}': Failed to instantiate X for parameter '{name}': {text}"
        for name, text in found.items()
    )
    return "Parameter validation failed:\n" + "\n".join(lines)


def describe(**values: dict[str, Any]) -> list[str]:
    models = {"model": parameters.ModelParameters, "ingestion": parameters.IngestionParameters}
    found = {name: refuse(models[name], value) for name, value in values.items()}
    return [line.replace(str(CONF), "conf") for line in describe_wrong_parameters(kedro_says(found), CONF)]


def test_each_wrong_parameter_has_a_line_with_its_value_and_its_file() -> None:
    lines = describe(
        model=MODEL | {"dropout": 1.5, "nope": 3, "output_layer": "wide"},
        ingestion={},
    )

    assert lines == [
        "model.dropout=1.5: Input should be less than 1 (conf/base/parameters_training.yml)",
        "model.output_layer='wide': Input should be 'full' or 'adaptive' (conf/base/parameters_training.yml)",
        "model.nope is no parameter: see conf/base/parameters_training.yml",
        "ingestion.include_unlabelled is missing: set it in conf/base/parameters_ingestion.yml",
    ]


def test_a_rule_between_parameters_is_told_as_it_is() -> None:
    assert describe(model=MODEL | {"num_heads": 5}) == [
        "embed_dim=12 is not divisible by num_heads=5: change one of them, or set head_dim, "
        "in conf/base/parameters_training.yml"
    ]


def test_an_environment_that_is_not_there_is_told_with_those_that_are() -> None:
    assert describe_missing("bsae", CONF).endswith("sample, test: did you mean base?")
    assert describe_missing("zzzzz", CONF).endswith("sample, test")
    assert not describe_missing("base", CONF)
    assert not describe_missing(None, CONF)


def test_help_names_every_pipeline_environment_and_setting_of_the_catalogs() -> None:
    names = {*register_pipelines()} - {"__default__"} | {path.parent.name for path in CONF.glob("*/*.yml")}
    for file in CONF.glob("*/catalog*.yml"):
        names |= set(re.findall(r"runtime_params:(\w+)", file.read_text()))

    said = CliRunner().invoke(run, ["--help"]).output

    assert {name for name in names - {"local"} if not re.search(rf"\b{name}\b", said)} == set()


@pytest.fixture(scope="module")
def project(make_project: Callable[[str], Path]) -> Path:
    return make_project("cli")


def kedro(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kedro", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--params", "model.sequence_length=0"],
            "model.sequence_length=0: Input should be greater than or equal to",
        ),
        (
            ["--env", "tset"],
            "There is no environment 'tset', only base, gpu, keras_example, own_text, sample, test: did",
        ),
        (["--pipelines", "trainin"], "There is no pipeline 'trainin', only __default__, comparison, data,"),
        (["--pipelines", "training"], "train_token_ids: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_that_can_t_be_ends_with_one_message(project: Path, arguments: list[str], message: str) -> None:
    environment = [] if "--env" in arguments else ["--env", "test"]
    result = kedro(project, "run", *environment, *arguments)

    assert result.returncode == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert f"Error: {message}" in result.stderr
    assert not list(project.rglob("*.partial*"))


@pytest.mark.slow
def test_verbose_shows_where_it_was_raised(project: Path) -> None:
    result = kedro(project, "run", "--verbose", "--env", "tset")

    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: There is no environment 'tset'")
