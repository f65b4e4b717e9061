"""`python -m minigpt_pipeline.tidy`, behind `make tidy`: remove what conf/base/retention.yml does not keep.

A retraining does the same at its end. Data that was accepted is never removed.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from minigpt_pipeline.files import remove
from minigpt_pipeline.project_lock import ProjectLockedError, holding
from minigpt_pipeline.quiet import quieten
from minigpt_pipeline.retention_policy import (
    SECONDS_OF_A_DAY,
    SOURCE,
    Choice,
    Retention,
    RetentionError,
    choose,
    find_old_batches,
    read_retention,
)

logger = logging.getLogger(__name__)

LINEAGE_SUFFIX = ".lineage.json"
LINEAGES = f"*/*{LINEAGE_SUFFIX}"
CHECKPOINTS = "06_models/checkpoints/*.checkpoint"
QUARANTINE = "01_raw/quarantine"


@dataclass
class Removal:
    """What goes, or has gone.

    Args:
        choice: Of MLflow's runs and models.
        batches: That were refused.
        started: When each run did, by its id, in seconds of the Unix epoch.
        freed: Bytes.
        is_hidden: Whether a server has only hidden what is its own.
    """

    choice: Choice = field(default_factory=Choice)
    batches: list[Path] = field(default_factory=list)
    freed: int = 0
    is_hidden: bool = False

    def __str__(self) -> str:
        """What is told of it; empty where nothing goes."""
        parts = [
            f"{number} {what}"
            for number, what in (
                (len(self.choice.runs), "runs"),
                (len(self.choice.models), "models of runs that stay"),
                (len(self.batches), "refused batches"),
            )
            if number
        ]
        return f"{', '.join(parts)}, {self.freed / 1e6:,.1f} MB" if parts else ""

    def list_lines(self, now: float) -> Iterator[str]:
        """Say of each thing what it is and why it goes."""
        for what, runs in (("run", self.choice.runs), ("model of run", self.choice.models)):
            for run in runs:
                days = (now - run.started) / SECONDS_OF_A_DAY
                yield f"{what} {run.run_id}: {days:.1f} days old, {run.status}, and not among the newest"
        yield from (f"refused batch {batch}" for batch in self.batches)


def tidy(project: Path, environment: str, retention: Retention, *, is_dry: bool = False) -> Removal:
    """Remove what is not kept; what a killed removal has left is finished first.

    Args:
        project: Its root.
        environment: Whose store it is.
        retention: What is kept.
        is_dry: Only say what would go.

    Raises:
        TrackingStoreError: If the store does not answer.
    """
    import mlflow

    from minigpt_pipeline.tracking.killed_runs import mark_killed_runs
    from minigpt_pipeline.tracking.removal import RunArchive, measure
    from minigpt_pipeline.tracking.store import connect, read_tracking_settings

    now = time.time()
    settings = read_tracking_settings(project, environment)
    connect(settings, project)
    experiment_id = mlflow.get_experiment_by_name(settings.experiment).experiment_id
    places = find_data(project)
    archive = RunArchive(experiment_id, read_registered_model(project))
    if not is_dry:
        mark_killed_runs(experiment_id)
        archive.finish()
    removal = Removal(choose(archive.list_runs(find_needed_runs(places)), retention, now))
    removal.batches = [
        batch for place in places for batch in find_old_batches(place / QUARANTINE, retention.quarantine, now)
    ]
    removal.is_hidden = not archive.frees_space
    removal.freed = sum(map(measure, removal.batches)) + archive.measure(removal.choice)
    if is_dry:
        return removal
    for run in removal.choice.runs:
        archive.remove_run(run.run_id)
    for run in removal.choice.models:
        archive.remove_model(run.run_id)
    if removal.choice.runs or removal.choice.models:
        archive.finish()
        archive.compact()
    for batch in removal.batches:
        # Renamed first: a batch is whole, or it is none.
        hidden = batch.with_name(f".{batch.name}.partial")
        remove(hidden)
        remove(batch.rename(hidden))
    return removal


def tidy_behind(project: Path, environment: str, retention: Retention) -> None:
    """Tidy behind a run that has come to its end, and keeps its success whatever comes of this."""
    from minigpt_pipeline.tracking.store import TrackingStoreError, store_errors, tell

    try:
        removal = tidy(project, environment, retention)
    except store_errors(OSError, TrackingStoreError) as error:
        logger.warning(
            "What is old could not be removed, and the next retraining tries again: %s", tell(error)
        )
        return
    if str(removal):
        logger.info("Removed what conf/base/retention.yml does not keep: %s", removal)
    if removal.is_hidden and (removal.choice.runs or removal.choice.models):
        logger.info("On MLflow's server they are hidden: `mlflow gc` there removes them for good")


def find_data(project: Path) -> list[Path]:
    """Return the folders in which the environments of a project keep what they make."""
    from kedro.config import OmegaConfigLoader

    conf = project / "conf"
    places = set()
    for environment in (path.name for path in conf.iterdir() if path.is_dir() and path.name != "base"):
        loader = OmegaConfigLoader(
            str(conf), base_env="base", default_run_env=environment, merge_strategy={"globals": "soft"}
        )
        places.add(project / loader["globals"]["data"])
    return sorted(places)


def read_registered_model(project: Path) -> str:
    """Return its name."""
    from kedro.config import OmegaConfigLoader

    loader = OmegaConfigLoader(str(project / "conf"), base_env="base", default_run_env="local")
    return str(loader["globals"]["registered_model"])


def find_needed_runs(places: list[Path]) -> dict[str, str]:
    """Return the runs that files of a project come from, or go on with, by their ids, and why each is needed."""
    from minigpt_pipeline.tracking.lineage import read_known_lineage

    needed = {}
    for place in places:
        for path in place.glob(LINEAGES):
            data = path.with_name(path.name.removesuffix(LINEAGE_SUFFIX))
            if (lineage := read_known_lineage(data)) and lineage.run_id:
                needed[lineage.run_id] = f"{data.name} comes from it"
        for path in place.glob(CHECKPOINTS):
            # A damaged one goes on with nothing.
            with path.open("rb") as file, suppress(ValueError, LookupError, TypeError):
                file.readline()
                run_id = json.loads(file.readline())["state"]["record"]["log"]
                needed[run_id] = f"the checkpoint {path.name} goes on with it"
    return needed


def main(arguments: list[str] | None = None) -> int:
    """Tidy the project in the working directory; 1 where that can't be done."""
    parser = argparse.ArgumentParser(prog="python -m minigpt_pipeline.tidy", description=__doc__)
    parser.add_argument("--env", default="base", help="whose MLflow store it is (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    asked = parser.parse_args(arguments)
    quieten()
    project = Path.cwd()
    from minigpt_pipeline.tracking.store import TrackingStoreError, describe_failure

    try:
        retention = read_retention(project)
        with holding(project, ["tidy"], asked.env):
            removal = tidy(project, asked.env, retention, is_dry=asked.dry_run)
        for line in removal.list_lines(time.time()):
            sys.stdout.write(f"{line}\n")
        done = "Would remove" if asked.dry_run else "Hidden on the server" if removal.is_hidden else "Removed"
        sys.stdout.write(f"{done}: {str(removal) or f'nothing; {SOURCE} keeps all that there is'}\n")
    except Exception as error:
        message = describe_failure(error)
        if message is None and not isinstance(
            error, (RetentionError, ProjectLockedError, TrackingStoreError)
        ):
            raise
        sys.stderr.write(f"Error: {message or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
