"""Wrong schedules are told with schedule, field, value and what next."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from minigpt_pipeline.scheduling.schedule_settings import (
    SchedulesError,
    check_settings,
    read_settings,
)
from tests.scheduling.conftest import NIGHTLY, VALUES

PROJECT = Path(__file__).parents[2]


def refuse(**nightly: Any) -> str:
    values = copy.deepcopy(VALUES) | {"schedules": {"nightly": NIGHTLY | nightly}}
    with pytest.raises(SchedulesError) as refused:
        check_settings(values, PROJECT)
    return str(refused.value)


@pytest.mark.parametrize("cron", ["0 25 * * *", "every night", "0 3 * *", "0 0 31 2 *", "0 3 * * * *", ""])
def test_what_is_no_cron_is_refused(cron: str) -> None:
    message = refuse(cron=cron)

    assert message.startswith(f"schedules.nightly.cron={cron!r}: five fields are expected: minute, hour, ")
    assert message.endswith("as in 0 3 * * * (conf/base/schedules.yml)")


@pytest.mark.parametrize(
    ("nightly", "message"),
    [
        ({"timezone": "Europe/Nowhere"}, "schedules.nightly.timezone='Europe/Nowhere': there is no such"),
        ({"timezone": ".."}, "schedules.nightly.timezone='..': there is no such"),
        (
            {"environment": "bsae"},
            "schedules.nightly.environment=bsae: there is no such environment, only base,",
        ),
        ({"retries": -1}, "schedules.nightly.retries=-1: Input should be greater than or equal to 0"),
        (
            {"enable": True},
            "schedules.nightly.enable is no setting: correct its name in conf/base/schedules.yml",
        ),
        ({"params": {"a": "1,b=2"}}, "schedules.nightly.params.a='1,b=2': String should match pattern"),
        ({"params": {"a": [1, 2]}}, "schedules.nightly.params.a='[1, 2]': String should match pattern"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_named(nightly: dict[str, Any], message: str) -> None:
    assert refuse(**nightly).startswith(message)


def test_what_is_missing_is_named() -> None:
    incomplete = {name: value for name, value in NIGHTLY.items() if name != "cron"}

    with pytest.raises(SchedulesError, match=r"^schedules.weekly.cron is missing: set it in conf/base"):
        check_settings(VALUES | {"schedules": {"weekly": incomplete}}, PROJECT)


@pytest.mark.parametrize("name", ["new_data", "failures", "Nightly", "a b"])
def test_a_schedule_has_a_name_of_its_own(name: str) -> None:
    new_data = {**VALUES["new_data"], "schedule": None}

    with pytest.raises(SchedulesError, match=name):
        check_settings(VALUES | {"schedules": {name: NIGHTLY}, "new_data": new_data}, PROJECT)


def test_new_data_begins_a_schedule_that_is_there() -> None:
    new_data = {**VALUES["new_data"], "schedule": "weekly"}

    with pytest.raises(
        SchedulesError, match=r"new_data.schedule=weekly is none of the schedules \(nightly\)"
    ):
        check_settings(VALUES | {"new_data": new_data}, PROJECT)


def test_the_configured_schedules_can_be_read_and_one_machine_changes_a_part(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    (tmp_path / "conf/local").mkdir(exist_ok=True)
    (tmp_path / "conf/local/schedules.yml").write_text("schedules: {nightly: {enabled: false}}")

    everywhere, here = read_settings(PROJECT), read_settings(tmp_path)

    nightly = everywhere.schedules["nightly"]
    assert (nightly.cron, nightly.timezone, nightly.pipeline) == ("0 3 * * *", "UTC", "retraining")
    assert everywhere.new_data.folder == Path("data/01_raw/incoming")
    assert here.schedules["nightly"] == nightly.model_copy(update={"enabled": False})


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conf/base").mkdir(parents=True)
    (tmp_path / "conf/local").mkdir()
    (tmp_path / "conf/base/schedules.yml").write_text("schedules: {nightly: [")

    with pytest.raises(SchedulesError, match=r"^conf/base/schedules.yml can't be read: "):
        read_settings(tmp_path)
