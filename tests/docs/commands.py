"""Whether a command that a document names can be given at all, without running it."""

import importlib.util
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import yaml

from minigpt_pipeline.cli import run as kedro_run
from minigpt_pipeline.pipeline_registry import register_pipelines

PROJECT = Path(__file__).parents[2]
CONF = PROJECT / "conf"


def check_command(text: str) -> None:
    """Refuse what bash can't read, a verb of `make`, a module, an option or a parameter that is not there.

    Raises:
        ValueError: Which one.
    """
    parsed = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
    if parsed.returncode:
        raise ValueError(f"bash can't read it: {parsed.stderr.strip()}")
    words = shlex.split(text.replace("\\\n", ""), comments=True)
    while words and re.match(r"\w+=", words[0]):
        del words[0]
    match [Path(word).name if number == 0 else word for number, word in enumerate(words)]:
        case ["make", *arguments]:
            _check_make(arguments)
        case ["kedro", "run", *arguments]:
            _check_kedro_run(arguments)
        case ["python", "-m", module, *arguments]:
            _check_module(module, arguments)
        case ["mlflow", *arguments]:
            _check_mlflow(arguments)


def _check_make(arguments: list[str]) -> None:
    command = ["make", "--dry-run", "--always-make", *arguments]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ValueError(result.stderr.strip())
    targets = [argument for argument in arguments if "=" not in argument]
    _refuse_unknown("variables of make", _names(arguments), _variables())
    if not targets:
        raise ValueError("it names no target")


@cache
def _variables() -> set[str]:
    return set(re.findall(r"^(\w+) \?=", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def _names(arguments: list[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments if "=" in argument}


def _check_kedro_run(arguments: list[str]) -> None:
    options = _parse(kedro_run, arguments).params
    if (environment := options["env"]) is not None:
        _refuse_unknown("environments", {environment}, {path.name for path in CONF.iterdir()})
    if options["pipeline"] is not None:
        raise ValueError("Kedro is about to drop --pipeline: --pipelines")
    _refuse_unknown("pipelines", set(options["pipelines"]), set(register_pipelines()))
    _refuse_unknown("parameters", set(_flatten(options["params"])), _parameters())


@cache
def _parameters() -> set[str]:
    """Return each parameter, `model.num_heads`, each group of them, and what catalogs take from `--params`."""
    names: set[str] = set()
    for file in CONF.glob("*/*.yml"):
        text = file.read_text(encoding="utf-8")
        names |= set(re.findall(r"\$\{runtime_params:(\w+)", text))
        if file.name.startswith("parameters_"):
            names |= set(_flatten(yaml.safe_load(text)))
    return names


def _flatten(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= (
            _flatten(value, f"{prefix}{name}.")
            if isinstance(value, dict) and value
            else {prefix + str(name): value}
        )
    return flat


def _check_module(module: str, arguments: list[str]) -> None:
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"there is no module {module}")
    if options := {argument for argument in arguments if argument.startswith("--")}:
        help_text = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout
        _refuse_unknown("options", options, set(re.findall(r"--[\w-]+", help_text)))


def _check_mlflow(arguments: list[str]) -> None:
    from mlflow.cli import cli

    command: click.Command = cli
    while isinstance(command, click.Group):
        name = next(iter(arguments), "")
        _refuse_unknown("commands", {name}, set(command.commands))
        command, arguments = command.commands[name], arguments[1:]
    _parse(command, arguments)


def _parse(command: click.Command, arguments: list[str]) -> click.Context:
    try:
        return command.make_context(command.name, [*arguments])
    except click.ClickException as error:
        raise ValueError(error.format_message()) from error


def _refuse_unknown(kind: str, names: set[str], known: set[str]) -> None:
    if unknown := sorted(names - known):
        raise ValueError(f"{kind} that are not there: {', '.join(unknown)}")
