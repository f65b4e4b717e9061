import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from minigpt_pipeline.model.saved_model import TrainedModel, save_trained_model
from minigpt_pipeline.serving.champion import ChampionFollower
from minigpt_pipeline.serving.served_model import ServedModel
from minigpt_pipeline.tracking.model_logging import log_model
from minigpt_pipeline.tracking.model_registry import ModelRegistry
from tests.tracking.conftest import store

__all__ = ["store"]


@pytest.fixture
def registry(
    store: str, tmp_path: Path, make_trained_model: Callable[..., TrainedModel]
) -> Iterator[ModelRegistry]:
    """Versions 1 and 2 of two models; nothing is in use."""
    registry = ModelRegistry("minigpt")
    for seed in (1, 2):
        save_trained_model(tmp_path / "trained_model.keras", make_trained_model(seed))
        with mlflow.start_run(tags={"data": "data/test"}) as run:
            log_model(tmp_path / "trained_model.keras")
        registry.register(run.info.run_id)
    return registry


@pytest.fixture
def used() -> list[ServedModel]:
    return []


@pytest.fixture
def follower(registry: ModelRegistry, used: list[ServedModel]) -> ChampionFollower:
    return ChampionFollower(registry, "champion", 1, 60, used.append)


def put_in_use(version: str) -> None:
    MlflowClient().set_registered_model_alias("minigpt", "champion", version)


def test_the_alias_is_followed(follower: ChampionFollower, used: list[ServedModel]) -> None:
    for version in ("1", "1", "2", "1"):
        put_in_use(version)
        follower.look()

    assert [model.version for model in used] == ["1", "2", "1"]
    assert {(model.name, model.data, model.context) for model in used} == {("minigpt", "data/test", 24)}


def test_without_a_champion_the_log_says_once_what_to_do(
    follower: ChampionFollower, used: list[ServedModel], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        follower.look()
        follower.look()

    assert used == []
    (record,) = caplog.records
    assert "minigpt has no champion: `kedro run --pipelines promotion`" in record.message


@pytest.mark.parametrize("damage", ["file", "registry"])
def test_a_version_that_cannot_be_loaded_leaves_the_one_in_use(
    follower: ChampionFollower,
    used: list[ServedModel],
    registry: ModelRegistry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    put_in_use("1")
    follower.look()
    put_in_use("2")
    if damage == "file":
        location = MlflowClient().get_model_version_download_uri("minigpt", "2")
        path = Path(mlflow.artifacts.download_artifacts(location)) / "artifacts" / "trained_model.keras"
        whole = path.read_bytes()
        path.write_bytes(whole[:1000])
    else:
        monkeypatch.setattr(registry, "aliases", lambda: 1 / 0)

    with caplog.at_level(logging.WARNING):
        follower.look()
        follower.look()
    if damage == "file":
        path.write_bytes(whole)
    monkeypatch.undo()
    follower.look()

    (record,) = (one for one in caplog.records if "can't be loaded" in one.message)
    assert "version 1 stays in use" in record.message
    assert [model.version for model in used] == ["1", "2"]
