import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from botocore.exceptions import ClientError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from minigpt_pipeline.model_versions import CHALLENGER, CHAMPION, DECISION_TAG, PREVIOUS_CHAMPION
from minigpt_pipeline.tracking.model_registry import MODEL_FILE, ModelRegistry, RegistryError
from minigpt_pipeline.tracking.store import TrackingStoreError

SIGNATURE = ModelSignature(inputs=Schema([ColSpec(DataType.string, "prompt")]))
MOVES = ("set_registered_model_alias", "delete_registered_model_alias")


class Killed(BaseException):
    """The process is gone."""


class DyingClient:
    """A client whose process ends after some moves of aliases."""

    def __init__(self, moves: int) -> None:
        self.client, self.moves = MlflowClient(), moves

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)
        if name not in MOVES:
            return call

        def move(*arguments: Any) -> Any:
            if self.moves == 0:
                raise Killed
            self.moves -= 1
            return call(*arguments)

        return move


@pytest.fixture
def registry(store: str) -> ModelRegistry:
    return ModelRegistry("minigpt")


@pytest.fixture
def log_run(store: str, tmp_path: Path) -> Callable[[], str]:
    """Log a model that is a file of its run's id."""

    def log() -> str:
        with mlflow.start_run() as run:
            file = tmp_path / "trained_model.keras"
            file.write_text(run.info.run_id)
            code = tmp_path / "model.py"
            code.write_text(
                "import mlflow\nclass M(mlflow.pyfunc.PythonModel):\n"
                "    def predict(self, context, model_input, params=None):\n        return model_input\n"
                "mlflow.models.set_model(M())\n"
            )
            mlflow.pyfunc.log_model(
                name="model", python_model=str(code), artifacts={"trained_model": str(file)},
                signature=SIGNATURE, pip_requirements=["mlflow"],
            )  # fmt: skip
        return str(run.info.run_id)

    return log


@pytest.fixture
def three(registry: ModelRegistry, log_run: Callable[[], str]) -> ModelRegistry:
    """Version 2 is in use, version 1 was before, version 3 is the challenger."""
    for previous, version in zip(
        (None, "1", None), (registry.register(log_run()) for _ in range(3)), strict=True
    ):
        if version != "3":
            registry.promote(version, previous)
    assert registry.aliases() == {CHAMPION: "2", PREVIOUS_CHAMPION: "1", CHALLENGER: "3"}
    return registry


def test_where_nothing_is_registered_there_is_no_alias_and_no_version(registry: ModelRegistry) -> None:
    assert (registry.aliases(), registry.versions()) == ({}, [])


def test_a_run_has_one_version_which_is_the_challenger(
    registry: ModelRegistry, log_run: Callable[[], str]
) -> None:
    run_id = log_run()

    assert [registry.register(run_id), registry.register(run_id)] == ["1", "1"]
    assert registry.register(log_run()) == "2"
    assert registry.aliases() == {CHALLENGER: "2"}


def test_a_run_without_a_model_has_no_version(registry: ModelRegistry, run_id: str) -> None:
    with pytest.raises(RegistryError, match=f"Run {run_id} has logged no model: .*training"):
        registry.register(run_id)
    assert registry.aliases() == {}


def test_the_first_champion_has_no_one_before_it(registry: ModelRegistry, log_run: Callable[[], str]) -> None:
    registry.promote(registry.register(log_run()), None)

    assert registry.aliases() == {CHAMPION: "1"}


def test_a_promoted_version_moves_the_champion_aside(three: ModelRegistry) -> None:
    three.promote("3", "2")
    three.promote("3", "2")  # done again, as behind a crash

    assert three.aliases() == {CHAMPION: "3", PREVIOUS_CHAMPION: "2"}


@pytest.mark.parametrize("previous", [None, "3"])
def test_where_nothing_can_be_gone_back_to_the_previous_champion_stays(
    three: ModelRegistry, previous: str | None
) -> None:
    three.promote("3", previous)

    assert three.aliases() == {CHAMPION: "3", PREVIOUS_CHAMPION: "1"}


def test_a_restored_version_has_none_before_it(three: ModelRegistry) -> None:
    three.restore("1")
    three.restore("1")

    assert three.aliases() == {CHAMPION: "1", CHALLENGER: "3"}


def test_a_version_that_was_made_just_before_a_crash_becomes_the_challenger(
    registry: ModelRegistry, log_run: Callable[[], str]
) -> None:
    run_id = log_run()
    with pytest.raises(Killed):
        ModelRegistry("minigpt", DyingClient(0)).register(run_id)  # type: ignore[arg-type]
    assert (registry.versions(), registry.aliases()) == (["1"], {})

    assert registry.register(run_id) == "1"
    assert registry.aliases() == {CHALLENGER: "1"}


def test_a_version_that_is_decided_on_or_in_use_is_no_challenger_again(three: ModelRegistry) -> None:
    three.record("3", {DECISION_TAG: "kept"})
    three.dismiss("3")
    run_ids = [MlflowClient().get_model_version("minigpt", version).run_id for version in "123"]

    assert [three.register(run_id) for run_id in run_ids] == ["1", "2", "3"]
    assert three.aliases() == {CHAMPION: "2", PREVIOUS_CHAMPION: "1"}


def test_a_dismissed_version_is_no_challenger(three: ModelRegistry) -> None:
    three.dismiss("2")
    assert three.aliases()[CHALLENGER] == "3"

    three.dismiss("3")
    assert three.aliases() == {CHAMPION: "2", PREVIOUS_CHAMPION: "1"}


@pytest.mark.parametrize("moves", range(3))
def test_a_crash_while_a_version_is_promoted_leaves_one_champion(three: ModelRegistry, moves: int) -> None:
    with pytest.raises(Killed):
        ModelRegistry("minigpt", DyingClient(moves)).promote("3", "2")  # type: ignore[arg-type]

    assert three.aliases()[CHAMPION] == ("2" if moves < 2 else "3")
    three.promote("3", "2")
    assert three.aliases()[CHAMPION] == "3"
    assert CHALLENGER not in three.aliases()
    assert three.aliases()[PREVIOUS_CHAMPION] == "2"


@pytest.mark.parametrize("moves", range(2))
def test_a_crash_while_going_back_leaves_one_champion(three: ModelRegistry, moves: int) -> None:
    with pytest.raises(Killed):
        ModelRegistry("minigpt", DyingClient(moves)).go_back()  # type: ignore[arg-type]

    assert three.aliases()[CHAMPION] == ("2" if moves == 0 else "1")


@pytest.mark.parametrize(("version", "in_use"), [(None, "1"), ("3", "3")])
def test_going_back_swaps_champion_and_previous_champion(
    three: ModelRegistry, version: str | None, in_use: str
) -> None:
    assert three.go_back(version) == in_use

    challenger = {} if in_use == "3" else {CHALLENGER: "3"}
    assert three.aliases() == {CHAMPION: in_use, PREVIOUS_CHAMPION: "2"} | challenger


@pytest.mark.parametrize(
    ("version", "message"),
    [("9", "no version 9, only 1, 2, 3"), ("2", "Version 2 of minigpt is in use already")],
)
def test_going_back_to_where_nothing_is_is_refused(three: ModelRegistry, version: str, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        three.go_back(version)
    assert three.aliases()[CHAMPION] == "2"


def test_the_way_back_is_known_before_it_is_gone(three: ModelRegistry) -> None:
    assert [three.find_way_back(version) for version in (None, "1", "3")] == ["1", "1", "3"]
    assert three.aliases()[CHAMPION] == "2"


def test_behind_a_crash_while_going_back_there_is_nothing_to_go_back_to(three: ModelRegistry) -> None:
    with pytest.raises(Killed):
        ModelRegistry("minigpt", DyingClient(1)).go_back()  # type: ignore[arg-type]

    with pytest.raises(RegistryError, match="Version 1 of minigpt is in use already"):
        three.go_back()
    three.dismiss("3")  # as the next decision does
    assert three.aliases() == {CHAMPION: "1"}


def test_going_back_from_the_first_champion_is_refused(
    registry: ModelRegistry, log_run: Callable[[], str]
) -> None:
    registry.promote(registry.register(log_run()), None)

    with pytest.raises(RegistryError, match="no previous champion to go back to: name a version, one of 1"):
        registry.go_back()


def test_a_decision_is_in_the_tags_of_its_version(three: ModelRegistry) -> None:
    three.record("3", {"decision": "kept", "reason": "no better than noise"}, "because " * 1000)

    version = MlflowClient().get_model_version("minigpt", "3")
    assert version.tags == {"decision": "kept", "reason": "no better than noise"}
    assert len(version.description) == 5000  # PostgreSQL takes no more


def test_tags_are_those_of_the_version_and_of_its_run_while_it_is_there(three: ModelRegistry) -> None:
    run_id = MlflowClient().get_model_version("minigpt", "3").run_id
    MlflowClient().set_tag(run_id, "data", "data/test")
    MlflowClient().set_tag(run_id, "decision", "of the run")
    assert "decision" not in three.tags("3")  # which may be of another registered model
    three.record("3", {"decision": "kept", "long": "x" * 6000})

    assert three.tags("3").items() >= {"data": "data/test", "decision": "kept", "long": "x" * 5000}.items()

    mlflow.tracking._tracking_service.utils._get_store()._hard_delete_run(run_id)  # as `mlflow gc`
    assert three.tags("3") == {"decision": "kept", "long": "x" * 5000}


def test_each_record_is_an_artifact_beside_those_of_before(three: ModelRegistry) -> None:
    records = [
        {"outcome": "promoted", "decided_at": "2026-11-26 12:00:00 UTC"},
        {"outcome": "rolled back", "decided_at": "2026-11-27 12:00:01 UTC"},
    ]
    for record in records:
        three.log_record("2", record)

    run_id = MlflowClient().get_model_version("minigpt", "2").run_id
    paths = [file.path for file in MlflowClient().list_artifacts(run_id, "promotion")]
    assert paths == ["promotion/20261126120000_promoted.json", "promotion/20261127120001_rolled_back.json"]
    assert [mlflow.artifacts.load_dict(f"runs:/{run_id}/{path}") for path in paths] == records


def test_the_model_of_a_version_is_fetched(three: ModelRegistry, tmp_path: Path) -> None:
    run_id = MlflowClient().get_model_version("minigpt", "2").run_id

    path = three.fetch("2", tmp_path / "fetched")

    assert path == tmp_path / "fetched" / MODEL_FILE
    assert path.read_text() == run_id


@pytest.mark.parametrize("lost", ["the file", "all artifacts"])
def test_a_model_whose_files_are_lost_is_named(three: ModelRegistry, lost: str, tmp_path: Path) -> None:
    version = MlflowClient().get_model_version("minigpt", "2")
    model = mlflow.get_logged_model(version.source.removeprefix("models:/"))
    folder = Path(model.artifact_location.removeprefix("file://"))
    (folder / MODEL_FILE).unlink()
    if lost == "all artifacts":
        folder.rename(tmp_path / "elsewhere")

    with pytest.raises(RegistryError, match=r"Version 2 of minigpt has no artifacts/"):
        three.fetch("2", tmp_path / "fetched")
    with pytest.raises(RegistryError, match="Version 9 of minigpt has no artifacts/"):
        three.fetch("9", tmp_path / "fetched")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        MlflowException("API request to http://me:secret@host:5000/api failed with exception no connection"),
        ClientError({"Error": {"Code": "SlowDown", "Message": "Reduce your request rate"}}, "GetObject"),
    ],
)
def test_a_store_that_has_the_file_and_does_not_give_it_says_nothing_against_the_model(
    three: ModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(**_: str) -> None:
        raise error

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fail)
    with pytest.raises(
        TrackingStoreError, match=r"is in the store and can't be fetched .*nothing is decided"
    ) as told:
        three.fetch("2", tmp_path)
    assert "secret" not in str(told.value)

    monkeypatch.setattr(mlflow.artifacts, "list_artifacts", fail)
    with pytest.raises((TrackingStoreError, OSError)):
        three.fetch("2", tmp_path)
