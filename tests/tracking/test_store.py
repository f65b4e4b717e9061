import socket
from pathlib import Path

import mlflow
import pytest

from minigpt_pipeline.tracking.store import (
    TrackingSettings,
    TrackingStoreError,
    absolute_uri,
    connect,
    describe_store,
)


def settings(uri: str) -> TrackingSettings:
    return TrackingSettings(
        tracking_uri=uri,
        artifact_location="mlartifacts",
        experiment="minigpt",
        system_metrics=False,
        system_metrics_interval=10,
    )


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("sqlite:///mlflow.db", "sqlite:////project/mlflow.db"),
        ("sqlite:////elsewhere/mlflow.db", "sqlite:////elsewhere/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_absolute_uri_starts_at_the_project(uri: str, absolute: str) -> None:
    assert absolute_uri(uri, Path("/project")) == absolute


def test_connect_keeps_store_and_artifacts_in_the_project(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")

    connect(settings("sqlite:///mlflow.db"), tmp_path)

    assert (tmp_path / "mlflow.db").is_file()
    assert mlflow.get_experiment_by_name("minigpt").artifact_location == (tmp_path / "mlartifacts").as_uri()


def test_connect_says_when_the_project_was_moved(store: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    connect(settings("sqlite:///mlflow.db"), tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")

    for ask in (connect, describe_store):
        with pytest.raises(
            TrackingStoreError, match=r"keeps artifacts in file://.*/here/mlartifacts, and this .*"
        ):
            ask(settings("sqlite:///mlflow.db"), tmp_path / "there")


def test_projects_may_share_a_store_that_lies_elsewhere(store: str, tmp_path: Path) -> None:
    shared = settings(f"sqlite:///{tmp_path}/mlflow.db")
    connect(shared, tmp_path / "here")
    connect(shared, tmp_path / "there")

    location = mlflow.get_experiment_by_name("minigpt").artifact_location
    assert location == (tmp_path / "here/mlartifacts").as_uri()


def test_connect_says_when_a_server_does_not_answer(store: str, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    with pytest.raises(
        TrackingStoreError, match=rf"store http://127.0.0.1:{port} can't be used .*unset MLFLOW_TRACKING_URI"
    ):
        connect(settings(f"http://127.0.0.1:{port}"), tmp_path)


def test_connect_hides_passwords(store: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingStoreError) as error:
        connect(settings("http://user:secret@127.0.0.1:9"), tmp_path)

    assert "secret" not in str(error.value)
    assert "user:***@127.0.0.1" in str(error.value)


def test_connect_says_when_a_database_can_not_be_opened(store: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()

    with pytest.raises(TrackingStoreError, match="can't be used"):
        connect(settings("sqlite:///mlflow.db"), tmp_path)


def test_connect_killed_while_it_makes_the_store_can_be_repeated(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.store.db.utils._upgrade_db", die)  # after the first tables
        with pytest.raises(KilledError):
            connect(settings("sqlite:///mlflow.db"), tmp_path)
        assert not (tmp_path / "mlflow.db").exists()

    connect(settings("sqlite:///mlflow.db"), tmp_path)
    assert mlflow.get_experiment_by_name("minigpt") is not None
