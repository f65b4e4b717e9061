"""`kedro run`, whose errors say what is wrong and not where in the code that was noticed.

`kedro run --verbose` shows the traceback as well. Errors that nobody has foreseen show it always.
"""

import difflib
import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.io import DatasetError
from kedro.utils import find_kedro_project
from kedro.validation.exceptions import ParameterValidationError

from minigpt_pipeline.datasets.local_dataset import MAKE_IT_FIRST
from minigpt_pipeline.hidden import hide_password, print_exception, show_controls
from minigpt_pipeline.model.cluster import VARIABLE, is_other_worker
from minigpt_pipeline.nothing_served import is_nothing_served
from minigpt_pipeline.progress import erase_bars
from minigpt_pipeline.project_lock import Holder, ProjectLockedError, holding
from minigpt_pipeline.retention_policy import read_retention
from minigpt_pipeline.retraining import is_retraining, retrain
from minigpt_pipeline.sigterm import Termination, interrupting
from minigpt_pipeline.system_errors import describe_system_error
from minigpt_pipeline.tidy import tidy_behind
from minigpt_pipeline.worker_hooks import TRAINING_NODE

FORESEEN = (
    ParameterValidationError,
    MissingConfigException,
    ValueError,
    RuntimeError,
    FloatingPointError,
    OSError,
    DatasetError,
)
"""What Kedro, nodes and datasets raise on purpose; subclasses too."""

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""The exit codes of what Ctrl-C or SIGTERM has ended, as shells have them."""

LOCKED = 75
"""The exit code where another run is at work in the project: EX_TEMPFAIL, the same command works later."""

WITHOUT_LOCK = {"comparison", "monitoring"}
"""Pipelines that change nothing that others read or make."""

HELP = """Run pipelines: from the archive to a measured model and its texts, or those that are named.

\b
Pipelines, in their order (--pipelines NAME,NAME):
  ingestion, validation, vectorization   the three together: data
  training, evaluation, generation       with data all that runs without a name
  incoming, promotion, sweep, comparison only by name
  monitoring                             only by name: what a server has served, beside training data
  retraining                             what has changed, from new reviews on, again; alone

\b
Environments (--env NAME), one folder of conf/ each:
  sample         the embedded corpus, offline, minutes
  base           50,000 film reviews, an hour on two cores
  own_text       your texts: --params texts=FOLDER
  gpu            as base, on a GPU
  keras_example  the published example
  test           seconds

\b
Parameters (--params NAME=VALUE,NAME=VALUE), once: all of conf/base/parameters_*.yml, and device, precision,
strategy, logical_cpus and xla of conf/base/catalog_compute.yml.

\b
Examples:
  kedro run --env sample
  kedro run --env sample --pipelines training,evaluation --params model.num_blocks=1
  kedro run --env base --params device=gpu,training.max_minutes=30

What was killed or interrupted goes on with the same command. One run at a time works in a project: where another
does, this one ends with exit code 75, or waits with --wait.
"""

MOST_CHARACTERS_OF_YAML = 300
"""In a message, of what YAML says of a value."""

ARGUMENTS = "minigpt_pipeline.arguments"
"""Under which name a command's context keeps what was typed behind its name."""

_PARAMETER = re.compile(r"^- Parameter '(?P<name>\w+)': .*$", re.MULTILINE)
_DETAILS = re.compile(
    r" \[type=(?P<type>\w+), input_value=(?P<value>.*), input_type=\w+\]\n    For further information .*"
)


class LockedException(click.ClickException):
    """Ends a command with the exit code of its own."""

    exit_code = LOCKED


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command end with one message where an error was foreseen, or Ctrl-C or SIGTERM came."""

    @functools.wraps(command)
    def tell(*args: Any, verbose: bool = False, **options: Any) -> Any:
        # A worker that SIGTERM has reached ends at once, in whatever it waits for: the others learn of it so.
        with interrupting() if VARIABLE not in os.environ else nullcontext(Termination()) as termination:
            try:
                return command(*args, **options)
            except KeyboardInterrupt as interrupt:
                end_interrupted(interrupt, is_terminated=termination.requested)
            except ProjectLockedError as error:
                raise LockedException(str(error)) from error
            except Exception as error:
                message = describe_system_error(error) or describe_store_failure(error)
                if message is None and not isinstance(error, FORESEEN):
                    sys.excepthook = print_exception
                    raise
                erase_bars()
                if verbose:
                    print_exception(type(error), error, error.__traceback__)
                shown = message or describe(error, options.get("env"))
                raise click.ClickException(show_controls(hide_password(shown))) from error

    return tell


def alone(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command work while no other does in the same project."""

    @functools.wraps(command)
    def work(*args: Any, wait: bool = False, **options: Any) -> Any:
        if set(options["pipelines"] or [options["pipeline"]]) <= WITHOUT_LOCK or is_other_worker():
            return command(*args, **options)
        project = Path(find_kedro_project(Path.cwd()) or Path.cwd())
        arguments = click.get_current_context().meta[ARGUMENTS]
        environment = options["env"] or os.environ.get("KEDRO_ENV") or "base"
        with holding(project, arguments, environment, _tell_wait if wait else None):
            return command(*args, **options)

    return work


def _tell_wait(holder: Holder | None) -> None:
    click.echo(f"Waiting: {holder or 'another `kedro run`'} is at work in this project", err=True)


def end_interrupted(interrupt: KeyboardInterrupt, *, is_terminated: bool) -> NoReturn:
    """Say what has ended the command, and end it.

    Whoever asks again does not want to wait until the MLflow run is marked; the next run does that.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    erase_bars()
    if sys.stderr.isatty() and not is_terminated:
        click.echo(err=True)  # behind the ^C that a terminal shows
    click.echo(describe_interrupt(interrupt, is_terminated=is_terminated), err=True)
    raise click.exceptions.Exit(TERMINATED if is_terminated else INTERRUPTED) from interrupt


def describe_interrupt(interrupt: KeyboardInterrupt, *, is_terminated: bool = False) -> str:
    """Return what a user reads behind Ctrl-C, or SIGTERM.

    Args:
        interrupt: Says what goes on, and from where, if something does not begin anew.
        is_terminated: It was SIGTERM.
    """
    what = "Ended by SIGTERM" if is_terminated else "Interrupted"
    what_next = str(interrupt) or "it comes to the same end"
    return f"{what}: all files are whole, old or new. Run the same command again, and {what_next}."


def describe_store_failure(error: Exception) -> str | None:
    """Return what a user reads where MLflow's store has failed; null for every other error, and without MLflow."""
    if "mlflow" not in sys.modules:
        return None
    from minigpt_pipeline.tracking.store import describe_failure

    return describe_failure(error)


def describe(error: Exception, environment: str | None) -> str:
    """Return what a user reads of an error.

    Args:
        error: What ended the command.
        environment: Of the configuration, as the command names it.
    """
    conf = Path("conf")
    if isinstance(error, ParameterValidationError):
        return "\n".join(describe_wrong_parameters(str(error), conf))
    if isinstance(error, MissingConfigException):
        return describe_missing(environment, conf) or str(error)
    message = str(error).strip().partition("\nFailed to instantiate dataset")[0]
    return describe_missing_pipeline(message) or describe_missing_data(message, environment) or message


def describe_wrong_parameters(message: str, conf: Path) -> Iterator[str]:
    """Say in a line for each parameter what is wrong with it.

    Args:
        message: Kedro's, with what pydantic found.
        conf: Folder of the environments.
    """
    parts = _PARAMETER.split(
        message
    )  # what stands before the first one, then names and what was found by turns
    for name, found in zip(parts[1::2], parts[2::2], strict=True):
        where = next((str(file) for file in _find_files(name, conf)), f"{conf}/base")
        for field, text, kind, value in _split(found):
            if kind == "extra_forbidden":
                yield f"{name}.{field} is no parameter: see {where}"
            elif kind == "missing":
                yield f"{name}.{field} is missing: set it in {where}"
            elif kind == "value_error":
                yield text.removeprefix("Value error, ")
            else:
                yield f"{name}.{field}={value}: {text} ({where})"


def _split(found: str) -> Iterator[tuple[str, str, str, str]]:
    """Return field, message, kind and value of each error in what pydantic says."""
    start = 0
    for match in _DETAILS.finditer(found):
        field, _, text = found[start : match.start()].strip("\n").rpartition("\n")
        yield field.strip(), text.strip(), match["type"], match["value"]
        start = match.end()


def _find_files(name: str, conf: Path) -> Iterable[Path]:
    for file in sorted(conf.glob("base/parameters*.yml")):
        if re.search(rf"^{name}:", file.read_text(encoding="utf-8"), re.MULTILINE):
            yield file


def describe_missing(environment: str | None, conf: Path) -> str:
    """Say which environments there are; nothing where the one that is asked for is there."""
    names = sorted(path.name for path in conf.glob("*") if path.is_dir() and path.name != "local")
    if environment is None or environment in names:
        return ""
    return f"There is no environment {environment!r}, only {', '.join(names)}{_suggest(environment, names)}"


def describe_missing_pipeline(message: str) -> str:
    """Say which pipelines there are, where Kedro says that one is not."""
    match = re.match(r"Failed to find the pipeline named '(?P<name>[^']*)'", message)
    if match is None:
        return ""
    from kedro.framework.project import pipelines

    names = sorted(pipelines)
    return f"There is no pipeline {match['name']!r}, only {', '.join(names)}{_suggest(match['name'], names)}"


def describe_missing_data(message: str, environment: str | None) -> str:
    """Say which pipeline makes a file that is not there; nothing where a message says something else."""
    match = re.fullmatch(rf"(?P<name>\w+): (?P<what>There is no .*): {re.escape(MAKE_IT_FIRST)}", message)
    if match is None:
        return ""
    from kedro.framework.project import pipelines

    makers = [name for name in pipelines if match["name"] in pipelines[name].all_outputs()]
    maker = min(makers, key=lambda name: len(pipelines[name].nodes))
    option = f" --env {environment}" if environment else ""
    return f"{match['name']}: {match['what']}: `kedro run --pipelines {maker}{option}` makes it"


def _suggest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f": did you mean {close[0]}?" if close else ""


def start(**options: Any) -> Any:
    """Run what is asked for: a retraining in its own way, of a worker its part, unless there is nothing to do.

    Everything else runs in Kedro's way.
    """
    if is_other_worker():
        return kedro_run.callback(**options | {"node_names": [TRAINING_NODE]})
    if is_retraining(options):
        project = Path(find_kedro_project(Path.cwd()) or Path.cwd())
        retention = read_retention(project)  # before anything is computed
        result = retrain(kedro_run.callback, options)
        tidy_behind(project, options["env"] or os.environ.get("KEDRO_ENV") or "base", retention)
        return result
    if is_nothing_served(options):
        return None
    return kedro_run.callback(**options)


@click.group(name="minigpt_pipeline")
def cli() -> None:
    """Commands of this project."""


class RunCommand(click.Command):
    """Keeps its arguments as they were typed, for whoever asks what is at work."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep them, then read them."""
        ctx.meta[ARGUMENTS] = [*args]
        try:
            return super().parse_args(ctx, args)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # of YAML and OmegaConf, which have nothing in common
            told = " ".join(str(error).split())[:MOST_CHARACTERS_OF_YAML]
            raise click.BadParameter(
                f"a value is no YAML ({show_controls(told)}): put it in quotes, NAME='\"VALUE\"'",
                ctx,
                param_hint="--params",
            ) from error


run = RunCommand(
    kedro_run.name,
    callback=told(alone(start)),
    params=[
        *kedro_run.params,
        click.Option(["--wait"], is_flag=True, help="Wait while another run is at work in the project."),
        click.Option(["--verbose", "-v"], is_flag=True, help="Show the traceback of an error."),
    ],
    help=HELP,
    short_help=kedro_run.short_help,
)
cli.add_command(run)
