"""What Dagster is told: when a run begins, what it is, and what becomes of its end."""

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from minigpt_pipeline.project_lock import holding
from minigpt_pipeline.scheduling import definitions
from minigpt_pipeline.scheduling.definitions import (
    CYCLE_TAG,
    OUTCOME_TAG,
    UNFINISHED,
    find_reason_to_skip,
    make_definitions,
)
from minigpt_pipeline.scheduling.home import Home
from tests.scheduling.conftest import make_settings

StandIn = Callable[[str], None]


def run(home: Home, instance: dg.DagsterInstance, **nightly: Any) -> dg.ExecuteInProcessResult:
    job = make_definitions(make_settings(**nightly), home).resolve_job_def("nightly")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def only_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    (found,) = instance.get_runs()
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What MLflow would have been told."""
    calls: list[dict[str, Any]] = []

    def tell(process: str, cycle: str, name: str, schedule: Any, text: str, *_: Any) -> dict[str, str]:
        calls.append({"process": process, "cycle": cycle, "schedule": name, "text": text})
        return {"1": "FAILED"}

    monkeypatch.setattr(definitions, "tell_mlflow", tell)
    return calls


def test_a_run_is_a_child_with_its_arguments_its_cycle_and_its_schedule(
    home: Home, instance: dg.DagsterInstance, stand_in: StandIn
) -> None:
    stand_in(
        "import os, sys; print(sys.argv[1:], os.environ['MINIGPT_CYCLE'], os.environ['MINIGPT_SCHEDULE'], os.getcwd())"
    )

    result = run(home, instance, params={"a.b": 1, "c": None, "d": True})

    assert result.success
    (log,) = home.logs.iterdir()
    cycle = only_run(instance).tags[CYCLE_TAG]
    arguments = "['--pipelines', 'data', '--env', 'test', '--params', 'a.b=1,c=null,d=true']"
    assert log.read_text() == f"{arguments} {cycle} nightly {home.project}\n"
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", cycle)


def test_what_a_child_says_is_said_by_the_run(
    home: Home, instance: dg.DagsterInstance, stand_in: StandIn
) -> None:
    stand_in("import sys; print('100 % done'); sys.stderr.write('no newline')")

    result = run(home, instance)

    messages = [event.message for event in instance.all_logs(result.run_id)]
    assert [message for message in messages if message in {"100 % done", "no newline"}] == [
        "100 % done",
        "no newline",
    ]


def test_a_child_that_fails_is_retried_in_the_same_cycle_and_both_are_told(
    home: Home, instance: dg.DagsterInstance, stand_in: StandIn, told: list[dict[str, Any]]
) -> None:
    stand_in("import sys; print('17:00 INFO one'); print('Error: two\\nthree'); sys.exit(1)")

    result = run(home, instance, retries=2)

    assert only_run(instance).status is dg.DagsterRunStatus.FAILURE
    assert len(told) == 3
    assert {call["cycle"] for call in told} == {only_run(instance).tags[CYCLE_TAG]}
    assert len({call["process"] for call in told}) == 3
    text = "`kedro run --pipelines data --env test` ended with exit code 1: two\nthree"
    assert {call["text"] for call in told} == {text}
    messages = [event.message for event in instance.all_logs(result.run_id)]
    delays = [re.match(r"Tried again in (\S+) s: ", message) for message in messages]
    assert [delay[1] for delay in delays if delay] == ["0.01", "0.02"]


def test_a_child_that_is_killed_is_a_failure_that_says_so(
    home: Home, instance: dg.DagsterInstance, stand_in: StandIn, told: list[dict[str, Any]]
) -> None:
    stand_in("import os, signal; print('at work', flush=True); os.kill(os.getpid(), signal.SIGKILL)")

    result = run(home, instance)

    assert not result.success
    (call,) = told
    assert call["text"].endswith("was killed by signal 9: at work")


def test_a_child_that_finds_another_at_work_is_no_failure(
    home: Home, instance: dg.DagsterInstance, stand_in: StandIn, told: list[dict[str, Any]]
) -> None:
    stand_in("import sys; print('Error: another one is at work'); sys.exit(75)")

    result = run(home, instance, retries=1)

    assert result.success
    assert told == []
    assert len(list(home.logs.iterdir())) == 2
    assert only_run(instance).tags[OUTCOME_TAG] == "skipped"
    messages = [event.message for event in instance.all_logs(result.run_id)]
    assert "Tried again in 0.01 s: another one is at work" in messages
    assert "Skipped: another one is at work" in messages


@pytest.mark.parametrize(
    "status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING", "SUCCESS", "FAILURE", "CANCELED"]
)
def test_nothing_begins_before_a_run_has_ended(
    instance: dg.DagsterInstance, tmp_path: Path, status: str
) -> None:
    add_run(instance, dg.DagsterRunStatus[status])

    reason = find_reason_to_skip(instance, tmp_path)

    assert dg.DagsterRunStatus.QUEUED in UNFINISHED  # such a run can't be made without a daemon
    if status in {"SUCCESS", "FAILURE", "CANCELED"}:
        assert reason is None
    else:
        assert reason
        assert re.fullmatch(
            rf"run \w{{8}} of another, made \d{{4}}-\d\d-\d\d \d\d:\d\d UTC, is {status}", reason
        )


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    run = dg.DagsterRun("another", status=status)
    return instance.add_run(run)


def evaluate(
    home: Home, instance: dg.DagsterInstance, due: datetime | None = None
) -> dg.SkipReason | dg.RunRequest:
    schedule = make_definitions(make_settings(), home).resolve_schedule_def("nightly")
    context = dg.build_schedule_context(instance, scheduled_execution_time=due or datetime.now(UTC))
    return schedule(context)  # type: ignore[no-any-return]


def test_a_tick_begins_a_run_where_nothing_is_at_work(home: Home, instance: dg.DagsterInstance) -> None:
    assert isinstance(evaluate(home, instance), dg.RunRequest)


def test_a_tick_is_skipped_while_a_run_by_hand_is_at_work(home: Home, instance: dg.DagsterInstance) -> None:
    with holding(home.project, ["--env", "sample"], "sample"):
        skipped = evaluate(home, instance)

    assert isinstance(skipped, dg.SkipReason)
    message = skipped.skip_message
    assert re.match(
        rf"`kedro run --env sample` \(process {os.getpid()}, since .*\) is at work", message or ""
    )


def test_a_tick_from_before_the_schedules_began_is_skipped(home: Home, instance: dg.DagsterInstance) -> None:
    home.begin()
    now = datetime.now(UTC)

    assert isinstance(evaluate(home, instance, now + timedelta(seconds=1)), dg.RunRequest)
    missed = evaluate(home, instance, now - timedelta(minutes=1))
    assert isinstance(missed, dg.SkipReason)
    assert "was missed: no schedules were at work then" in (missed.skip_message or "")


def test_a_schedule_is_on_or_off_as_configured(home: Home) -> None:
    for enabled, status in ((True, "RUNNING"), (False, "STOPPED")):
        schedule = make_definitions(make_settings(enabled=enabled), home).resolve_schedule_def("nightly")
        assert schedule.default_status.value == status
        assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "UTC")


def look(home: Home, instance: dg.DagsterInstance) -> dg.SkipReason | dg.RunRequest:
    sensor = make_definitions(make_settings(), home).resolve_sensor_def("new_data")
    return sensor(dg.build_sensor_context(instance))  # type: ignore[no-any-return]


def test_new_data_begins_one_run_for_each_drop(home: Home, instance: dg.DagsterInstance) -> None:
    incoming = home.project / "data/01_raw/incoming"
    assert isinstance(look(home, instance), dg.SkipReason)
    incoming.mkdir(parents=True)
    assert isinstance(look(home, instance), dg.SkipReason)

    (incoming / "one.txt").write_text("a film")
    first, again = look(home, instance), look(home, instance)
    (incoming / "two.txt").write_text("another")
    second = look(home, instance)

    keys = [one.run_key for one in (first, again, second) if isinstance(one, dg.RunRequest)]
    assert len(keys) == 3
    assert keys[0] == keys[1] != keys[2]


def test_a_drop_that_a_run_has_left_there_begins_no_other(home: Home, instance: dg.DagsterInstance) -> None:
    (home.project / "data/01_raw/incoming").mkdir(parents=True)
    (home.project / "data/01_raw/incoming/one.txt").write_text("a film")
    sensor = make_definitions(make_settings(), home).resolve_sensor_def("new_data")
    context = dg.build_sensor_context(instance)

    assert isinstance(sensor(context), dg.RunRequest)
    assert isinstance(sensor(dg.build_sensor_context(instance, context.cursor)), dg.SkipReason)


def test_new_data_waits_while_something_is_at_work(home: Home, instance: dg.DagsterInstance) -> None:
    (home.project / "data/01_raw/incoming").mkdir(parents=True)
    (home.project / "data/01_raw/incoming/one.txt").write_text("a film")
    with holding(home.project, [], "base"):
        assert isinstance(look(home, instance), dg.SkipReason)
    add_run(instance, dg.DagsterRunStatus.STARTED)

    assert isinstance(look(home, instance), dg.SkipReason)


def test_a_run_that_failed_is_told_with_what_it_said(
    home: Home, instance: dg.DagsterInstance, stand_in: StandIn, told: list[dict[str, Any]], tmp_path: Path
) -> None:
    stand_in("import sys; print('Error: the disk is full'); sys.exit(1)")
    file = tmp_path / "told.json"
    settings = make_settings({"command": f"tee {file}"}, retries=1)
    made = make_definitions(settings, home)
    result = made.resolve_job_def("nightly").execute_in_process(instance=instance, raise_on_error=False)
    event = next(event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context("failures", event, instance, only_run(instance))

    made.resolve_sensor_def("failures")(context.for_run_failure())

    message = json.loads(file.read_text())
    assert message == {
        "event": "run_failed",
        "text": "nightly failed: `kedro run --pipelines data --env test` ended with exit code 1: the disk is full",
        "schedule": "nightly",
        "pipeline": "data",
        "environment": "test",
        "run_id": result.run_id,
        "cycle": told[0]["cycle"],
    }
