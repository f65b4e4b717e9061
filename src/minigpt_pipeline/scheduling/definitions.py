"""A job for each schedule, what starts it, and who is told when it fails.

Nothing slow is imported here: the process that serves these definitions stays as long as the schedules do.
"""

import json
import logging
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg

from minigpt_pipeline.hidden import hide_password
from minigpt_pipeline.project_lock import SCHEDULE_VARIABLE, find_holder, is_held
from minigpt_pipeline.scheduling.home import Home
from minigpt_pipeline.scheduling.kedro_process import KedroProcess
from minigpt_pipeline.scheduling.new_data import describe_drop
from minigpt_pipeline.scheduling.notification import Message, notify
from minigpt_pipeline.scheduling.schedule_settings import FAILURES, NEW_DATA, Schedule, ScheduleSettings

CYCLE_TAG = "minigpt/cycle"
"""Of Dagster's runs; what MLflow calls `cycle`."""
OUTCOME_TAG = "minigpt/outcome"
"""Of a run that has not failed, and did nothing: another one was at work."""
CYCLE_VARIABLE = "MINIGPT_CYCLE"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
LOCKED = 75
"""The exit code of `kedro run` where another is at work."""


def say(name: str, text: str) -> None:
    """Write a line where whoever started the schedules reads.

    Args:
        name: Of the schedule or sensor.
        text: What there is to say.
    """
    sys.stderr.write(f"{datetime.now():%H:%M:%S} {name}: {text}\n")  # noqa: DTZ005 -- the reader's own time


class Console(logging.Handler):
    """Shows what a run says, and of Dagster's events those that went wrong."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        about: dict[str, Any] = getattr(record, "dagster_meta", {})
        if about.get("dagster_event") is None or record.levelno >= logging.ERROR:
            say(str(about.get("job_name")), str(about.get("orig_message")))


@dg.logger
def console(_: dg.InitLoggerContext) -> logging.Logger:
    """Make the logger of a run."""
    logger = logging.Logger("minigpt_pipeline.scheduling", logging.INFO)
    logger.addHandler(Console())
    return logger


def find_reason_to_skip(instance: dg.DagsterInstance, project: Path) -> str | None:
    """Say what is at work in a project; null where nothing is.

    Args:
        instance: Of Dagster; all its runs are of this project.
        project: Its root.
    """
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED), limit=1):
        run = record.dagster_run
        begun = f"{record.create_timestamp:%Y-%m-%d %H:%M} UTC"
        return f"run {run.run_id[:8]} of {run.job_name}, made {begun}, is {run.status.value}"
    if is_held(project):
        return f"{find_holder(project) or 'another `kedro run`'} is at work in this project"
    return None


def make_definitions(settings: ScheduleSettings, home: Home) -> dg.Definitions:
    """Make jobs, schedules and sensors.

    Args:
        settings: What is configured.
        home: Of the project.
    """
    jobs = {name: make_job(name, schedule, home) for name, schedule in settings.schedules.items()}
    schedules = [
        make_schedule(name, schedule, jobs[name], home) for name, schedule in settings.schedules.items()
    ]
    sensors = [make_failure_sensor(settings)]
    if settings.new_data.schedule is not None:
        sensors.append(make_new_data_sensor(settings, jobs[settings.new_data.schedule], home))
    return dg.Definitions(jobs=[*jobs.values()], schedules=schedules, sensors=sensors)


def make_job(name: str, schedule: Schedule, home: Home) -> dg.JobDefinition:
    """Make the job of a schedule: one `kedro run`, again where it fails.

    Args:
        name: Of the schedule.
        schedule: What to run.
        home: Of the project.
    """
    command = " ".join(["kedro run", *schedule.arguments])

    @dg.op(name=f"kedro_run_{name}", description=f"`{command}`", out=dg.Out(dg.Nothing))
    def run_kedro(context: dg.OpExecutionContext) -> None:
        run_once(context, name, schedule, home)

    @dg.job(
        name=name,
        executor_def=dg.in_process_executor,
        logger_defs={"console": console},
        config={"loggers": {"console": {}}},
        description=f"`{command}`",
    )
    def job() -> None:
        run_kedro()

    return job


def run_once(context: dg.OpExecutionContext, name: str, schedule: Schedule, home: Home) -> None:
    """Run a `kedro run` to its end, and tell Dagster and MLflow alike how it ended.

    Args:
        context: Of the op.
        name: Of the schedule.
        schedule: What to run.
        home: Of the project.

    Raises:
        Failure: If it failed, and no retries are left.
        RetryRequested: If it failed or another one is at work, and retries are left.
    """
    cycle = find_cycle(context.instance, context.run_id)
    log = (
        home.logs
        / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{context.run_id[:8]}-{context.retry_number + 1}.log"
    )
    variables = {CYCLE_VARIABLE: cycle, SCHEDULE_VARIABLE: name}
    child = KedroProcess(schedule.arguments, home.project, variables, log)
    context.log.info("MLflow cycle %s, process %s; what it says stays in %s", cycle, child.description, log)
    code = child.follow(lambda line: context.log.info(hide_password(line)))
    if code == 0:
        return
    reason = hide_password(child.describe_end())
    is_last = context.retry_number >= schedule.retries or child.is_abandoned
    if code == LOCKED:
        if not is_last:
            retry(context, schedule, reason)
        context.log.warning("Skipped: %s", reason)
        context.instance.add_run_tags(context.run_id, {OUTCOME_TAG: "skipped"})
        return
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    text = f"`kedro run {' '.join(schedule.arguments)}` {ended}: {reason}"
    runs = tell_mlflow(child.description, cycle, name, schedule, text, context, home)
    if not is_last:
        retry(context, schedule, text)
    raise dg.Failure(
        text,
        metadata={
            "exit_code": code,
            "cycle": cycle,
            "log": dg.MetadataValue.path(str(log)),
            "mlflow_runs": runs,
        },
    )


def retry(context: dg.OpExecutionContext, schedule: Schedule, reason: str) -> NoReturn:
    """Wait, and let Dagster try the op again.

    Dagster's own policy would also try again what somebody has ended, and would not hear of an end while it waits.

    Args:
        context: Of the op.
        schedule: How long to wait.
        reason: For the log.

    Raises:
        RetryRequested: Always.
    """
    pause = schedule.retry_delay * 2**context.retry_number
    context.log.warning("Tried again in %g s: %s", pause, reason)
    time.sleep(pause)
    raise dg.RetryRequested(schedule.retries)


def find_cycle(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the MLflow cycle of a run, the same for all its attempts."""
    from minigpt_pipeline.tracking.lineage import new_cycle

    run = instance.get_run_by_id(run_id)
    if run is not None and CYCLE_TAG in run.tags:
        return run.tags[CYCLE_TAG]
    cycle = new_cycle()
    instance.add_run_tags(run_id, {CYCLE_TAG: cycle})
    return cycle


def tell_mlflow(
    process: str,
    cycle: str,
    name: str,
    schedule: Schedule,
    text: str,
    context: dg.OpExecutionContext,
    home: Home,
) -> dict[str, Any]:
    """Let MLflow show a failure, too, and return the runs that it has of it with their status.

    A process of its own does it: MLflow takes 200 MB.
    """
    words = {
        "process": process,
        "cycle": cycle,
        "schedule": name,
        "pipeline": schedule.pipeline,
        "environment": schedule.environment,
    }
    options = [word for option, value in words.items() for word in (f"--{option}", value)]
    result = subprocess.run(
        [sys.executable, "-m", "minigpt_pipeline.tracking.failed_process", *options],
        cwd=home.project,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        context.log.warning("MLflow was not told: %s", hide_password(result.stderr.strip())[-1000:])
        return {}
    runs: dict[str, Any] = json.loads(result.stdout)
    return runs


def make_schedule(name: str, schedule: Schedule, job: dg.JobDefinition, home: Home) -> dg.ScheduleDefinition:
    """Make the schedule of a job; a tick is skipped, with the reason, while anything is at work.

    Args:
        name: Of the schedule.
        schedule: When it ticks.
        job: What it starts.
        home: Of the project.
    """
    is_on = dg.DefaultScheduleStatus.RUNNING if schedule.enabled else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=schedule.cron,
        execution_timezone=schedule.timezone,
        default_status=is_on,
    )
    def start(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        due, reason = context.scheduled_execution_time, find_reason_to_skip(context.instance, home.project)
        if due.timestamp() < home.began_at():
            # Dagster evaluates the last tick that it has missed.
            reason = f"its tick of {due:%Y-%m-%d %H:%M %Z} was missed: no schedules were at work then"
        if reason:
            say(name, f"skipped, {reason}")
            return dg.SkipReason(reason)
        say(name, "begins")
        return dg.RunRequest()

    return start


def make_new_data_sensor(
    settings: ScheduleSettings, job: dg.JobDefinition, home: Home
) -> dg.SensorDefinition:
    """Make what starts a job when something new lies in the folder of incoming data, once for each drop.

    Args:
        settings: Which folder.
        job: What it starts.
        home: Of the project.
    """
    new_data = settings.new_data

    @dg.sensor(
        name=NEW_DATA,
        job=job,
        minimum_interval_seconds=new_data.look_every,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        if reason := find_reason_to_skip(context.instance, home.project):
            return dg.SkipReason(reason)
        folder = home.project / new_data.folder
        drop = describe_drop(folder, new_data.quiet, datetime.now(UTC).timestamp())
        if drop is None:
            return dg.SkipReason(f"Nothing new lies in {new_data.folder}, or it is still being written")
        if drop == context.cursor:
            return dg.SkipReason(f"What lies in {new_data.folder} has begun a run, which has left it there")
        context.update_cursor(drop)
        say(NEW_DATA, f"something new lies in {new_data.folder}: {new_data.schedule} begins")
        return dg.RunRequest(run_key=drop, tags={"minigpt/new_data": drop})

    return look


def make_failure_sensor(settings: ScheduleSettings) -> dg.SensorDefinition:
    """Make what tells people of each run that failed.

    Args:
        settings: Whom, and what the schedules run.
    """

    @dg.run_failure_sensor(
        name=FAILURES, minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING
    )
    def tell(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        schedule = settings.schedules.get(run.job_name)
        message = Message(
            "run_failed",
            f"{run.job_name} failed: {find_failure(context)}",
            run.job_name,
            schedule.pipeline if schedule else "",
            schedule.environment if schedule else "",
            run.run_id,
            run.tags.get(CYCLE_TAG, ""),
        )
        notify(message, settings.notification, context.log.error)

    return tell


def find_failure(context: dg.RunFailureSensorContext) -> str:
    """Return what the op of a run that failed has said; where it said nothing, what Dagster says."""
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return data.user_failure_data.description
        if data.error:
            return data.error.message.strip()
    return context.failure_event.message or "no reason is known"
