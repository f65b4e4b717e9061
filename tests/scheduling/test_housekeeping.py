"""What is done before the schedules begin."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from minigpt_pipeline.scheduling.home import Home
from minigpt_pipeline.scheduling.housekeeping import (
    LEFT_BEHIND,
    check_pipelines,
    find_missed_ticks,
    remove_old,
    report_missed_ticks,
    sweep,
    tabulate,
)
from minigpt_pipeline.scheduling.schedule_settings import SchedulesError
from tests.scheduling.conftest import make_settings

PROJECT = Path(__file__).parents[2]


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_run_that_was_left_behind_has_failed(instance: dg.DagsterInstance, status: str) -> None:
    run = instance.add_run(dg.DagsterRun("nightly", status=dg.DagsterRunStatus[status]))

    assert sweep(instance) == 1

    swept = instance.get_run_by_id(run.run_id)
    assert swept
    assert swept.status is dg.DagsterRunStatus.FAILURE
    assert [event.message for event in instance.all_logs(run.run_id)] == [
        "The schedules were killed while it was at work"
    ]
    assert sweep(instance) == 0


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "CANCELED"])
def test_a_run_that_has_ended_is_left_alone(instance: dg.DagsterInstance, status: str) -> None:
    run = instance.add_run(dg.DagsterRun("nightly", status=dg.DagsterRunStatus[status]))

    assert sweep(instance) == 0

    assert instance.get_run_by_id(run.run_id) == run
    assert dg.DagsterRunStatus.QUEUED not in LEFT_BEHIND  # it begins with the schedules


def test_ticks_between_two_moments_were_missed() -> None:
    schedules = make_settings().schedules

    def find(since: str, now: str) -> list[tuple[str, int, str]]:
        found = find_missed_ticks(schedules, at(since), at(now))
        return [(name, count, f"{first:%Y-%m-%d %H:%M}") for name, count, first in found]

    assert find("2026-11-20T02:00Z", "2026-11-20T02:59Z") == []
    assert find("2026-11-20T03:00Z", "2026-11-21T03:00Z") == []
    assert find("2026-11-20T02:59Z", "2026-11-20T03:01Z") == [("nightly", 1, "2026-11-20 03:00")]
    assert find("2026-11-20T12:00Z", "2026-11-23T12:00Z") == [("nightly", 3, "2026-11-21 03:00")]
    assert list(find_missed_ticks(make_settings(enabled=False).schedules, 0, at("2026-11-20T00:00Z"))) == []


def test_a_tick_has_the_hour_of_its_time_zone_in_summer_and_winter() -> None:
    """On 25 October 2026, clocks in Berlin go back."""
    schedules = make_settings(timezone="Europe/Berlin").schedules

    for day, hour in (("2026-10-24", "01"), ("2026-10-26", "02")):
        ((_, count, first),) = find_missed_ticks(schedules, at(f"{day}T00:00Z"), at(f"{day}T{hour}:01Z"))
        assert count == 1
        assert first.astimezone(UTC).hour == int(hour)


def test_missed_ticks_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = tmp_path / "told"
    settings = make_settings({"command": f"tee {told}"})

    report_missed_ticks(settings, at("2026-11-20T12:00Z"), at("2026-11-23T12:00Z"))

    message = json.loads(told.read_text())
    assert message["event"] == "ticks_missed"
    assert message["text"].startswith(
        "nightly has missed 3 ticks since 2026-11-21 03:00 UTC, as no schedules"
    )
    assert caplog.messages == [message["text"]]


def test_a_pipeline_that_is_not_there_is_named_with_those_that_are() -> None:
    check_pipelines(make_settings(pipeline="data,training"), PROJECT)

    with pytest.raises(
        SchedulesError, match=r"nightly.pipeline=data,trainin: there is no pipeline 'trainin', only"
    ):
        check_pipelines(make_settings(pipeline="data,trainin"), PROJECT)


def test_old_runs_are_removed_with_what_they_said(home: Home, instance: dg.DagsterInstance) -> None:
    run = instance.add_run(dg.DagsterRun("nightly", status=dg.DagsterRunStatus.STARTED, tags={"a": "b"}))
    instance.report_run_failed(run, "it has failed")
    begun = instance.add_run(dg.DagsterRun("nightly", status=dg.DagsterRunStatus.STARTED))
    home.logs.mkdir()
    (home.logs / "one.log").touch()
    later = datetime.now(UTC) + timedelta(days=90, minutes=1)

    assert remove_old(instance, home, datetime.now(UTC), 90) == 0
    assert remove_old(instance, home, later, None) == 0
    assert instance.get_run_by_id(run.run_id)
    assert list(home.logs.iterdir())
    assert list(home.folder.rglob(f"{run.run_id}*"))
    assert remove_old(instance, home, later, 90) == 1

    assert instance.get_run_by_id(run.run_id) is None
    assert instance.get_run_by_id(begun.run_id)
    assert list(home.logs.iterdir()) == []
    assert list(home.folder.rglob(f"{run.run_id}*")) == []


def test_the_table_has_the_next_tick_in_its_own_time_zone() -> None:
    now = datetime.fromisoformat("2026-11-20T12:00Z")

    table = tabulate(make_settings(timezone="Asia/Tokyo", params={"a.b": 1}), now)
    off = tabulate(make_settings(enabled=False), now)

    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells == ["nightly", "0 3 * * *", "Asia/Tokyo", "2026-11-21 03:00", "data test a.b=1", "on"]
    assert [next(iter(column.cells)) for column in off.columns][3:] == ["–", "data test", "off"]
