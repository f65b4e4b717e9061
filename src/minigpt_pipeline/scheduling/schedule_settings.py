"""`conf/*/schedules.yml`, checked: what runs when, what new data starts, and who is told of failures."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from minigpt_pipeline.scheduling.home import INSTANCES

SOURCE = "conf/base/schedules.yml"
NEW_DATA = "new_data"
FAILURES = "failures"
SENSORS = (NEW_DATA, FAILURES)
"""Names that no schedule can have: Dagster knows schedules and sensors by the same."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Setting = Annotated[str, StringConstraints(pattern=r"^[^,=]*$")]
"""One value on a command line whose values have commas between them."""


class SchedulesError(ValueError):
    """The schedules can't be used as they are."""


class Settings(BaseModel):
    """What all settings have in common: they are frozen and refuse unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _write(value: object) -> str:
    """Return a value as `--params` takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


class Schedule(Settings):
    """A `kedro run`, and when it begins."""

    cron: str
    timezone: str
    pipeline: Annotated[str, Field(min_length=1)]
    """Several with commas between them."""
    environment: Annotated[str, Field(min_length=1)]
    params: dict[str, Annotated[Setting, BeforeValidator(_write)]] = {}
    retries: Annotated[int, Field(ge=0, le=10)]
    retry_delay: Annotated[float, Field(gt=0)]
    """Seconds before the first retry; each further one waits twice as long."""
    enabled: bool

    @field_validator("cron")
    @classmethod
    def _cron_is_one(cls, cron: str) -> str:
        from dagster._utils.schedules import has_out_of_range_cron_interval, is_valid_cron_schedule

        if not is_valid_cron_schedule(cron) or has_out_of_range_cron_interval(cron):
            raise ValueError(
                "five fields are expected: minute, hour, day of the month, month, day of the week, as in 0 3 * * *"
            )
        return cron

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as error:  # of a folder of zones, OSError
            raise ValueError(
                "there is no such time zone: a name as UTC or Europe/Berlin is expected"
            ) from error
        return timezone

    @property
    def arguments(self) -> list[str]:
        """What stands behind `kedro run`."""
        params = ",".join(f"{name}={value}" for name, value in self.params.items())
        return [
            *("--pipelines", self.pipeline, "--env", self.environment),
            *(("--params", params) if params else ()),
        ]


class NewData(Settings):
    """What happens when something new lies in the folder of incoming data."""

    folder: Path
    schedule: str | None
    """Whose run begins; null means none."""
    look_every: Annotated[int, Field(ge=1)]
    """Seconds between two looks."""
    quiet: Annotated[float, Field(ge=0)]
    """Seconds for which nothing in it may have changed."""


class NotificationSettings(Settings):
    """Who is told."""

    command: Annotated[str, Field(min_length=1)] | None = None
    timeout: Annotated[float, Field(gt=0)]
    """Seconds."""
    attempts: Annotated[int, Field(ge=1, le=10)]


class ScheduleSettings(Settings):
    """All of `conf/*/schedules.yml`."""

    instance: Annotated[str, Field(min_length=1)]
    """Of Dagster: one of `home.INSTANCES`, or a file of the project."""
    schedules: dict[Name, Schedule]
    new_data: NewData
    notification: NotificationSettings

    @model_validator(mode="after")
    def _names_go_together(self) -> Self:
        if taken := sorted(set(self.schedules) & set(SENSORS)):
            raise ValueError(f"a schedule can't be called {taken[0]}: a sensor is; give it another name")
        if self.new_data.schedule is not None and self.new_data.schedule not in self.schedules:
            raise ValueError(
                f"new_data.schedule={self.new_data.schedule} is none of the schedules "
                f"({', '.join(self.schedules)}): name one of them, or null"
            )
        return self


def read_settings(project: Path) -> ScheduleSettings:
    """Read the schedules of a project, outside of a Kedro session.

    Args:
        project: Its root.

    Raises:
        SchedulesError: If something in them is wrong.
    """
    from kedro.config import OmegaConfigLoader

    loader = OmegaConfigLoader(
        str(project / "conf"),
        base_env="base",
        default_run_env="local",
        config_patterns={"schedules": ["schedules*"]},
        custom_resolvers={"environment": lambda name, default=None: os.environ.get(name) or default},
        merge_strategy={"schedules": "soft", "globals": "soft"},
    )
    try:
        values = loader["schedules"]
    except Exception as error:  # of YAML, OmegaConf and Kedro, which have nothing in common
        raise SchedulesError(f"{SOURCE} can't be read: {str(error).strip()}") from error
    return check_settings(values, project)


def check_settings(values: Mapping[str, Any], project: Path) -> ScheduleSettings:
    """Check settings, and that each environment is there.

    Raises:
        SchedulesError: With a line for each finding.
    """
    try:
        settings = ScheduleSettings.model_validate(values)
    except ValidationError as error:
        raise SchedulesError("\n".join(_describe(error))) from error
    if settings.instance not in INSTANCES and not (project / settings.instance).is_file():
        raise SchedulesError(
            f"instance={settings.instance}: there is no such instance of Dagster, only {', '.join(INSTANCES)}, and no "
            f"such file in the project ({SOURCE})"
        )
    environments = sorted(path.name for path in (project / "conf").glob("*") if path.is_dir())
    for name, schedule in settings.schedules.items():
        if schedule.environment not in environments:
            raise SchedulesError(
                f"schedules.{name}.environment={schedule.environment}: there is no such environment, only "
                f"{', '.join(environments)} ({SOURCE})"
            )
    return settings


def _describe(error: ValidationError) -> Iterator[str]:
    for found in error.errors():
        field = ".".join(str(part) for part in found["loc"] if part != "[key]")
        if found["type"] == "extra_forbidden":
            yield f"{field} is no setting: correct its name in {SOURCE}, or remove it"
        elif found["type"] == "missing":
            yield f"{field} is missing: set it in {SOURCE}"
        else:
            message = found["msg"].removeprefix("Value error, ")
            yield f"{field}={found['input']!r}: {message} ({SOURCE})" if field else f"{message} ({SOURCE})"
