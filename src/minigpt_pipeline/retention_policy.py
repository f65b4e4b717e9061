"""What is kept and what goes of all that each cycle leaves behind: pure functions of what there is.

A thing goes where it is old and behind the newest ones. What somebody may still need never does: `KnownRun.needed_for`.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from minigpt_pipeline.parameters import Parameters

SOURCE = "conf/base/retention.yml"
SECONDS_OF_A_DAY = 86_400.0
RUNNING = "RUNNING"
"""The status of a run in MLflow whose process has not ended."""

Number = Annotated[int, Field(ge=0)] | None
Days = Annotated[float, Field(ge=0)] | None


class RetentionError(ValueError):
    """The settings can't be used as they are."""


class Bounds(Parameters):
    """What is older than `days` goes, but for the newest `keep`; null in either place keeps all."""

    keep: Number
    days: Days

    def choose_old(self, ages: Sequence[float]) -> list[int]:
        """Return which places of a list go.

        Args:
            ages: In days, the youngest first.
        """
        if self.keep is None or self.days is None:
            return []
        return [place for place, age in enumerate(ages) if place >= self.keep and age > self.days]


class Age(Parameters):
    """What is older than `days` goes; null keeps all."""

    days: Days


class Retention(Parameters):
    """All of `conf/*/retention.yml`."""

    runs: Bounds
    models: Bounds
    champions: Number
    """Of the versions that were ever in use, the newest keep their runs and models."""
    quarantine: Bounds
    schedules: Age


@dataclass(frozen=True)
class KnownRun:
    """A run of MLflow.

    Args:
        run_id: Its id.
        search: The id of the search that it is a trial of; its own where it is none.
        started: In seconds of the Unix epoch.
        status: As MLflow calls it.
        has_model: Whether it has logged one that is still there.
        was_in_use: Whether its version has been the champion.
        needed_for: Why it stays, whatever its age: `its version is the champion`; empty where nothing speaks for it.
    """

    run_id: str
    search: str
    started: float
    status: str = "FINISHED"
    has_model: bool = False
    was_in_use: bool = False
    needed_for: str = ""

    @property
    def stays(self) -> bool:
        """Whether it stays, whatever its age."""
        return bool(self.needed_for) or self.status == RUNNING


@dataclass(frozen=True)
class Choice:
    """What goes.

    Args:
        runs: Whole runs, with their models; the oldest first.
        models: Models of runs that stay.
    """

    runs: tuple[KnownRun, ...] = ()
    models: tuple[KnownRun, ...] = ()


def choose(runs: Sequence[KnownRun], retention: Retention, now: float) -> Choice:
    """Say which runs go, and which models of those that stay.

    A search goes with all of its trials, or not at all, and is as young as the youngest of them.

    Args:
        runs: All that the store has.
        retention: How much is kept.
        now: In seconds of the Unix epoch.
    """
    newest_first = sorted(runs, key=lambda run: (run.started, run.run_id), reverse=True)
    champions = [run.run_id for run in newest_first if run.was_in_use][: retention.champions]
    kept = {run.run_id for run in newest_first if run.stays} | set(champions)
    by_search = sorted(newest_first, key=lambda run: run.search)
    groups = [list(group) for _, group in itertools.groupby(by_search, key=lambda run: run.search)]
    groups.sort(key=lambda group: group[0].started, reverse=True)
    old = [groups[place] for place in retention.runs.choose_old([_age(group[0], now) for group in groups])]
    gone = [run for group in old if not any(run.run_id in kept for run in group) for run in group]
    of_models = [run for run in newest_first if run.has_model]
    heavy = [of_models[place] for place in retention.models.choose_old([_age(run, now) for run in of_models])]
    ids = {run.run_id for run in gone}
    models = [run for run in heavy if run.run_id not in kept | ids]
    return Choice(tuple(reversed(gone)), tuple(reversed(models)))


def _age(run: KnownRun, now: float) -> float:
    return (now - run.started) / SECONDS_OF_A_DAY


def find_old_batches(folder: Path, bounds: Bounds, now: float) -> list[Path]:
    """Return refused batches that go, the oldest first.

    Args:
        folder: `quarantine`; a folder in it is a batch, as old as its last change.
        bounds: How many are kept.
        now: In seconds of the Unix epoch.
    """
    times = {path: path.stat().st_mtime for path in folder.glob("[!.]*") if path.is_dir()}
    newest_first = sorted(times, key=lambda path: (times[path], path.name), reverse=True)
    ages = [(now - times[path]) / SECONDS_OF_A_DAY for path in newest_first]
    return [newest_first[place] for place in reversed(bounds.choose_old(ages))]


def read_retention(project: Path) -> Retention:
    """Read what holds for a project: `conf/base` and what `conf/local` names otherwise.

    It holds for the whole store, and so for all environments alike.

    Args:
        project: Its root.

    Raises:
        RetentionError: With a line for each finding.
    """
    import yaml

    values: dict[str, Any] = {}
    for environment in ("base", "local"):
        for file in sorted((project / "conf" / environment).glob("retention*.yml")):
            for name, value in (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).items():
                merged = isinstance(value, dict) and isinstance(values.get(name), dict)
                values[name] = values[name] | value if merged else value
    try:
        return Retention(**values)
    except ValidationError as error:
        raise RetentionError("\n".join(_describe(error))) from error


def _describe(error: ValidationError) -> Iterator[str]:
    for found in error.errors():
        field = ".".join(map(str, found["loc"][:2]))
        match found["type"]:
            case "extra_forbidden":
                yield f"{field} is no setting: correct its name in {SOURCE}, or remove it"
            case "missing":
                yield f"{field} is missing: set it in {SOURCE}"
            case _:
                yield f"{field}={found['input']!r}: {found['msg']} ({SOURCE})"
