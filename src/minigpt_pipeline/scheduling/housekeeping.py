"""`python -m minigpt_pipeline.scheduling.housekeeping`: what is done once before the schedules begin, and behind them.

It loads Kedro, MLflow and Dagster, and ends: none of their memory stays.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import yaml
from dagster._utils.schedules import cron_string_iterator
from rich.console import Console
from rich.table import Table

from minigpt_pipeline.files import replacing
from minigpt_pipeline.hidden import hide_in_logs
from minigpt_pipeline.project_folder import open_project
from minigpt_pipeline.quiet import quieten
from minigpt_pipeline.retention_policy import RetentionError, read_retention
from minigpt_pipeline.scheduling.definitions import UNFINISHED
from minigpt_pipeline.scheduling.home import Home
from minigpt_pipeline.scheduling.notification import Message, notify
from minigpt_pipeline.scheduling.schedule_settings import (
    SOURCE,
    Schedule,
    SchedulesError,
    ScheduleSettings,
    read_settings,
)

logger = logging.getLogger(__name__)

LOG_WIDTH = 140
"""Characters of a line where no terminal says how many it has."""
PATIENCE = 90.0
"""Seconds that runs may take to end: more than a child has."""
ENDED = [status for status in dg.DagsterRunStatus if status not in UNFINISHED]
LEFT_BEHIND = [status for status in UNFINISHED if status is not dg.DagsterRunStatus.QUEUED]
"""Statuses of runs whose process died with the schedules; what was queued is started again."""


def check_pipelines(settings: ScheduleSettings, project: Path) -> None:
    """See that each schedule's pipelines are there.

    Raises:
        SchedulesError: With the names that there are.
    """
    from kedro.framework.project import pipelines

    open_project(project)
    for name, schedule in settings.schedules.items():
        if unknown := [one for one in schedule.pipeline.split(",") if one.strip() not in pipelines]:
            raise SchedulesError(
                f"schedules.{name}.pipeline={schedule.pipeline}: there is no pipeline {unknown[0]!r}, only "
                f"{', '.join(sorted(pipelines))} ({SOURCE})"
            )


@contextmanager
def opening(home: Home, name: str) -> Iterator[dg.DagsterInstance]:
    """Open an instance of Dagster.

    Args:
        home: Where it is configured.
        name: For messages.

    Raises:
        SchedulesError: If what it needs is not there.
    """
    configuration = yaml.safe_load((home.folder / "dagster.yaml").read_text(encoding="utf-8"))
    if missing := sorted(set(find_variables(configuration)) - set(os.environ)):
        raise SchedulesError(
            f"instance={name}: the environment has no {' and no '.join(missing)}: set it ({SOURCE})"
        )
    logging.disable(logging.WARNING)  # of each attempt to reach a database
    try:
        instance = dg.DagsterInstance.from_config(str(home.folder))
        _ = instance.run_launcher  # made when it is asked for
    except Exception as error:  # of Dagster, databases and engines, which have nothing in common
        cause: BaseException = error
        while cause.__cause__ or cause.__context__:
            cause = cause.__cause__ or cause.__context__ or cause
        reason = str(cause).strip().partition("\n")[0]
        raise SchedulesError(f"instance={name}: Dagster can't work with it: {reason} ({SOURCE})") from error
    finally:
        logging.disable(logging.NOTSET)
    with instance:
        yield instance


def find_variables(configuration: object) -> Iterator[str]:
    """Yield each variable of the environment that a configuration of Dagster asks for."""
    if isinstance(configuration, list):
        for value in configuration:
            yield from find_variables(value)
    elif isinstance(configuration, dict):
        for name, value in configuration.items():
            if name == "env" and isinstance(value, str):
                yield value
            elif name == "env_vars":
                yield from (variable for variable in value if "=" not in variable)
            else:
                yield from find_variables(value)


def is_elsewhere(instance: dg.DagsterInstance) -> bool:
    """Return whether runs work in places of their own, which do not end with the schedules, and can be asked."""
    return instance.run_launcher.supports_check_run_worker_health


def sweep(instance: dg.DagsterInstance) -> int:
    """Report each run as failed whose process died with the schedules; left as they are, every tick would be skipped.

    Runs elsewhere are left alone: Dagster's monitoring asks after each.

    Args:
        instance: Of Dagster; nothing else works with it.

    Returns:
        How many.
    """
    if is_elsewhere(instance):
        return 0
    runs = instance.get_runs(dg.RunsFilter(statuses=LEFT_BEHIND))
    for run in runs:
        instance.report_run_failed(run, "The schedules were killed while it was at work")
    return len(runs)


def mark_runs_of_mlflow(project: Path) -> None:
    """Mark runs whose process was killed; a store that does not answer keeps no schedule from its start."""
    import mlflow

    from minigpt_pipeline.tracking.killed_runs import mark_killed_runs
    from minigpt_pipeline.tracking.store import TrackingStoreError, connect, read_tracking_settings

    settings = read_tracking_settings(project, "base")
    try:
        connect(settings, project)
        mark_killed_runs(mlflow.get_experiment_by_name(settings.experiment).experiment_id)
    except TrackingStoreError as error:
        logger.warning("%s", error)


def remove_old(instance: dg.DagsterInstance, home: Home, now: datetime, days: float | None) -> int:
    """Remove runs of Dagster that have ended, and what they have said.

    Dagster leaves the file that the events of a run were in, and its tags.

    Args:
        instance: Of Dagster.
        home: Of the project.
        now: This moment.
        days: For which they are kept; null for ever.

    Returns:
        How many runs went.
    """
    if days is None:
        return 0
    limit = now - timedelta(days=days)
    records = instance.get_run_records(dg.RunsFilter(statuses=ENDED, created_before=limit))
    for record in records:
        instance.delete_run(record.dagster_run.run_id)
        for file in (home.folder / "history/runs").glob(f"{record.dagster_run.run_id}.db*"):
            file.unlink()
    for log in home.logs.glob("*.log"):
        if log.stat().st_mtime < limit.timestamp():
            log.unlink()
    return len(records)


def tidy(home: Home) -> None:
    """Remove what is old, while the schedules are at work."""
    settings = read_settings(home.project)
    days = read_retention(home.project).schedules.days
    with opening(home, settings.instance) as instance:
        if count := remove_old(instance, home, datetime.now(UTC), days):
            logger.info("%d runs of Dagster, older than %g days, are removed", count, days)


def find_missed_ticks(
    schedules: Mapping[str, Schedule], since: float, now: float
) -> Iterator[tuple[str, int, datetime]]:
    """Yield each schedule that had ticks between two moments, how many, and when the first one was.

    Args:
        schedules: By their names.
        since: Seconds of the Unix epoch.
        now: The same.
    """
    for name, schedule in schedules.items():
        if not schedule.enabled:
            continue
        ticks = cron_string_iterator(since + 1, schedule.cron, schedule.timezone)
        missed = list(takewhile(lambda tick: tick.timestamp() < now, ticks))
        if missed:
            yield name, len(missed), missed[0]


def report_missed_ticks(settings: ScheduleSettings, since: float, now: float) -> None:
    """Tell of ticks that were missed while no schedules were at work; they are not made up for.

    Args:
        settings: The schedules, and who is told.
        since: Until when they were at work, in seconds of the Unix epoch.
        now: The same of this moment.
    """
    for name, count, first in find_missed_ticks(settings.schedules, since, now):
        schedule = settings.schedules[name]
        text = (
            f"{name} has missed {count} {'ticks' if count > 1 else 'tick'} since {first:%Y-%m-%d %H:%M %Z}, as no "
            "schedules were at work: nothing is made up for, the next tick runs"
        )
        logger.warning("%s", text)
        message = Message("ticks_missed", text, name, schedule.pipeline, schedule.environment)
        notify(message, settings.notification, lambda reason: logger.error("%s", reason))


def tabulate(settings: ScheduleSettings, now: datetime) -> Table:
    """Lay the schedules out, each with its next tick."""
    table = Table("schedule", "cron", "time zone", "next tick", "runs", "")
    for name, schedule in settings.schedules.items():
        tick = next(cron_string_iterator(now.timestamp(), schedule.cron, schedule.timezone))
        shown = f"{tick.astimezone(ZoneInfo(schedule.timezone)):%Y-%m-%d %H:%M}" if schedule.enabled else "–"
        runs = " ".join(schedule.arguments[1::2])
        table.add_row(
            name, schedule.cron, schedule.timezone, shown, runs, "on" if schedule.enabled else "off"
        )
    return table


def begin(home: Home) -> None:
    """Check the settings, and leave nothing behind of schedules that were killed.

    Raises:
        SchedulesError: If the settings are wrong; nothing was changed then.
    """
    settings = read_settings(home.project)
    check_pipelines(settings, home.project)
    days = read_retention(home.project).schedules.days
    now = datetime.now(UTC)
    with replacing(home.settings) as partial:
        partial.write_text(settings.model_dump_json(indent=2), encoding="utf-8")
    home.configure(settings.instance)
    with opening(home, settings.instance) as instance:
        if count := sweep(instance):
            logger.warning("%d runs of schedules that were killed are marked as failed", count)
        remove_old(instance, home, now, days)
    mark_runs_of_mlflow(home.project)
    if (since := home.last_stamp()) is not None:
        report_missed_ticks(settings, since, now.timestamp())
    home.begin()
    Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH).print(tabulate(settings, now))


def end(home: Home) -> None:
    """End what runs, as Ctrl-C would, and wait for it; what runs elsewhere goes on."""
    with dg.DagsterInstance.from_config(str(home.folder)) as instance:
        if is_elsewhere(instance):
            return
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
            if run.status is dg.DagsterRunStatus.QUEUED:
                continue  # begins with the schedules
            logger.info("Ending run %s of %s", run.run_id[:8], run.job_name)
            instance.run_launcher.terminate(run.run_id)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and instance.get_runs_count(dg.RunsFilter(statuses=LEFT_BEHIND)):
            time.sleep(0.2)


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked for in the project of the working directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["begin", "tidy", "end"])
    asked = parser.parse_args(arguments)
    quieten()
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING
    )
    hide_in_logs()
    logger.setLevel(logging.INFO)
    try:
        {"begin": begin, "tidy": tidy, "end": end}[asked.what](Home(Path.cwd()))
    except (SchedulesError, RetentionError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
