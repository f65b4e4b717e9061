"""`conf/*/serving.yml`, checked: what is served where, and how much the server takes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from minigpt_pipeline.parameters import Parameters, SamplingParameters

SOURCE = "conf/base/serving.yml"


class ServingError(ValueError):
    """The settings can't be used as they are."""


class LogSettings(Parameters):
    """The lines of what was served, from which `monitoring` measures."""

    folder: Path
    keep_days: Annotated[int, Field(ge=1)] | None
    """Files of earlier days are removed; null means none."""
    texts: bool
    """Whether they have prompts and texts."""


class ServingSettings(Parameters):
    """All of `conf/*/serving.yml`."""

    registered_model: Annotated[str, Field(min_length=1)]
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=0, le=65535)]
    """0 takes one that is free."""
    behind_proxy: bool
    """Whether something in front asks who they are, so that no key is needed where others than this machine ask."""
    allowed_hosts: list[str]
    """Names by which a server for this machine alone is asked, beside its own."""
    alias: Annotated[str, Field(min_length=1)]
    """Of the registered model: which version is served."""
    look_every: Annotated[float, Field(gt=0)]
    """Seconds between two looks for another version."""
    slots: Annotated[int, Field(ge=1, le=64)]
    """Texts that are written side by side."""
    max_waiting: Annotated[int, Field(ge=0)]
    """Texts that wait for a slot."""
    max_prompts: Annotated[int, Field(ge=1)]
    """Texts of one request."""
    max_prompt_characters: Annotated[int, Field(ge=1)]
    max_new_tokens: Annotated[int, Field(ge=1)]
    """Of one text."""
    max_seconds_to_ask: Annotated[float, Field(gt=0)]
    """Until the head of a request is there, and then its body."""
    max_seconds_to_end: Annotated[float, Field(ge=0)]
    log: LogSettings
    sampling: SamplingParameters
    """Where a request says nothing."""
    seed: Annotated[int, Field(ge=0)]
    presets: dict[str, dict[str, float | int | bool | None]]
    """Changes of `sampling` by their names, for the page."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.max_prompts > self.slots + self.max_waiting:
            raise ValueError(
                f"max_prompts={self.max_prompts} is more than slots={self.slots} and max_waiting={self.max_waiting} "
                "have room for: such a request could never be answered"
            )
        if self.sampling.max_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"sampling.max_new_tokens={self.sampling.max_new_tokens} is more than "
                f"max_new_tokens={self.max_new_tokens}, which a request may ask for"
            )
        for name, changes in self.presets.items():
            try:
                self.sampling.model_validate(self.sampling.model_dump() | changes)
            except ValidationError as error:
                raise ValueError(f"presets.{name}: {error.errors()[0]['msg']}") from error
        return self


def read_settings(project: Path, given: Mapping[str, Any] | None = None) -> ServingSettings:
    """Read the settings of a project, outside of a Kedro session.

    Args:
        project: Its root.
        given: Those of a command line, which go before those of the files.

    Raises:
        ServingError: If something in them is wrong.
    """
    from kedro.config import OmegaConfigLoader

    loader = OmegaConfigLoader(
        str(project / "conf"),
        base_env="base",
        default_run_env="local",
        config_patterns={"serving": ["serving*"]},
        merge_strategy={"serving": "soft", "globals": "soft"},
    )
    try:
        values = loader["serving"]
    except Exception as error:  # of YAML, OmegaConf and Kedro, which have nothing in common
        raise ServingError(f"{SOURCE} can't be read: {str(error).strip()}") from error
    try:
        return ServingSettings.model_validate({**values, **(given or {})})
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(map(str, found["loc"]))
        message = found["msg"].removeprefix("Value error, ")
        told = f"{field}={found['input']!r}: {message}" if field else message
        raise ServingError(f"{told} ({SOURCE})") from error
