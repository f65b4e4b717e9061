from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from minigpt_pipeline.serving.settings import ServingError, ServingSettings, read_settings
from tests.conftest import PROJECT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("serving.yml", "globals.yml"):
        path = tmp_path / "conf" / "base" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((PROJECT / "conf" / "base" / name).read_bytes())
    (tmp_path / "conf" / "local").mkdir()
    return tmp_path


def change(project: Path, values: Mapping[str, Any]) -> ServingSettings:
    (project / "conf" / "local" / "serving.yml").write_text(yaml.safe_dump(dict(values)))
    return read_settings(project)


def test_the_settings_of_the_project_are_whole() -> None:
    settings = read_settings(PROJECT)

    assert (settings.registered_model, settings.alias) == ("minigpt", "champion")
    assert settings.host == "127.0.0.1"  # nobody else's machine
    assert not settings.log.texts


def test_defaults_are_those_of_the_served_pyfunc() -> None:
    from minigpt_pipeline.tracking.model_logging import SIGNATURE

    settings = read_settings(PROJECT)
    logged = {one.name: one.default for one in SIGNATURE.params}
    ours = settings.sampling.model_dump(exclude={"stop_token"}) | {"seed": settings.seed}

    off = {"top_k": 0, "min_p": 0.0, "no_repeat_ngram_size": 0, "repetition_penalty": 1.0}
    assert {name: off[name] if value is None else value for name, value in ours.items()} == logged


def test_the_presets_are_those_of_the_samples() -> None:
    with (PROJECT / "conf" / "base" / "parameters_generation.yml").open() as file:
        generation = yaml.safe_load(file)["generation"]
    settings = read_settings(PROJECT)
    base = settings.sampling.model_dump()

    assert base == generation["sampling"]
    assert {name: base | changes for name, changes in settings.presets.items()} == {
        name: base | changes for name, changes in generation["presets"].items()
    }


def test_one_machine_names_what_differs(project: Path) -> None:
    assert change(project, {"port": 9000, "log": {"texts": True}}).model_dump() == read_settings(
        PROJECT
    ).model_dump() | {"port": 9000, "log": read_settings(PROJECT).log.model_dump() | {"texts": True}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 70000}, "port=70000: Input should be less than or equal to 65535 (conf/base/serving.yml)"),
        ({"slots": 65}, "slots=65: Input should be less than or equal to 64"),
        ({"prot": 1}, "prot=1: Extra inputs are not permitted"),
        ({"log": {"keep_days": 0}}, "log.keep_days=0: "),
        (
            {"slots": 4, "max_waiting": 4},
            "max_prompts=16 is more than slots=4 and max_waiting=4 have room for",
        ),
        ({"max_new_tokens": 20}, "sampling.max_new_tokens=40 is more than max_new_tokens=20"),
        (
            {"presets": {"hot": {"temperature": -1}}},
            "presets.hot: Input should be greater than or equal to 0",
        ),
    ],
)
def test_a_wrong_setting_is_named(project: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ServingError, match=r"serving\.yml") as error:
        change(project, values)

    assert message in str(error.value)


def test_settings_that_cannot_be_read_are_named(project: Path) -> None:
    (project / "conf" / "local" / "serving.yml").write_text("port: [")

    with pytest.raises(ServingError, match="can't be read"):
        read_settings(project)


def test_all_slots_are_rows_of_the_loop() -> None:
    from minigpt_pipeline.model.generation_loop import MANY_ROWS

    slots = ServingSettings.model_fields["slots"].metadata
    assert [bound.le for bound in slots if hasattr(bound, "le")] == [MANY_ROWS]
