import re
import shutil
import socket
from pathlib import Path

import mlflow
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from requests.exceptions import ConnectionError as UnreachableError
from sqlalchemy.exc import OperationalError

from minigpt_pipeline.tracking.store import (
    TrackingSettings,
    TrackingStoreError,
    absolute_uri,
    connect,
    describe_failure,
    describe_store,
    hide_password,
)


def settings(uri: str, artifact_location: str = "mlartifacts") -> TrackingSettings:
    return TrackingSettings(
        tracking_uri=uri,
        artifact_location=artifact_location,
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
        ("postgresql://host/mlflow", "postgresql+psycopg2://host/mlflow"),
        ("postgresql+psycopg://host/mlflow", "postgresql+psycopg://host/mlflow"),
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "at postgresql+psycopg2://me:secret@host:5432/db now",
            "at postgresql+psycopg2://me:***@host:5432/db now",
        ),
        ("http://me:se/cr:et@host/path", "http://me:***@host/path"),
        (
            "postgresql://me:an@secret@host/db",
            "postgresql://me:***@host/db",
        ),  # the last @ is the one before the host
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        ("postgresql://host/db?user=me&password=secret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("http://127.0.0.1:5000 and me@example.org", "http://127.0.0.1:5000 and me@example.org"),
    ],
)
def test_hide_password_leaves_the_rest(text: str, shown: str) -> None:
    assert hide_password(text) == shown


def test_a_database_keeps_artifacts_where_it_is_told(
    store: str, empty_database: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    elsewhere = (tmp_path / "elsewhere").as_uri()

    connect(settings("sqlite:///mlflow.db", f"{elsewhere}/"), tmp_path)

    assert mlflow.get_experiment_by_name("minigpt").artifact_location == elsewhere
    assert describe_store(settings("sqlite:///mlflow.db", elsewhere), tmp_path).endswith(
        f"has the experiment minigpt, artifacts in {elsewhere}"
    )
    for ask in (connect, describe_store):
        with pytest.raises(
            TrackingStoreError, match=rf"would in s3://bucket: set MINIGPT_ARTIFACTS={elsewhere}, or"
        ):
            ask(settings("sqlite:///mlflow.db", "s3://bucket"), tmp_path)


def test_no_experiment_begins_where_artifacts_can_t_be_kept(
    store: str, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(
        TrackingStoreError, match=r"can't keep artifacts in s3://bucket/x \(.*MLFLOW_S3_ENDPOINT_URL"
    ):
        connect(settings("sqlite:///mlflow.db", "s3://bucket/x"), tmp_path)

    assert mlflow.get_experiment_by_name("minigpt") is None


def test_a_driver_that_is_not_installed_is_told(store: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingStoreError, match=r"No module named 'pg8000'\): install .*\[cluster\]"):
        connect(settings("postgresql+pg8000://host/mlflow"), tmp_path)


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (MlflowException("away", TEMPORARILY_UNAVAILABLE), True),
        (MlflowException("API request to http://me:secret@host failed"), True),
        (MlflowException("Changing param values is not allowed", INVALID_PARAMETER_VALUE), False),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "Denied"}}, "PutObject"), True),
        (S3UploadFailedError("Failed to upload"), True),
        (OperationalError("SELECT 1", {}, Exception("away")), True),
        (TrackingStoreError("told already"), False),
        (ValueError("no store's"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_describe_failure_tells_what_a_store_has_raised(store: str, error: Exception, is_told: bool) -> None:
    told = describe_failure(error)

    assert bool(told) is is_told
    assert "secret" not in (told or "")


def test_describe_failure_looks_behind_other_errors(store: str) -> None:
    outer = RuntimeError("a hook has failed")
    outer.__context__ = MlflowException("away", TEMPORARILY_UNAVAILABLE)
    known = TrackingStoreError("told already")
    known.__cause__ = MlflowException("away", TEMPORARILY_UNAVAILABLE)

    assert re.match(
        r"The MLflow store sqlite:.* has failed in the middle of the run \(away\)", describe_failure(outer)
    )
    assert describe_failure(known) is None
    for message, is_told in (
        ("Failed while saving data to dataset", True),
        ("champion: Failed while loading data from dataset", True),
        ("x.gz could not be downloaded", False),
    ):
        of_a_dataset = DatasetError(message)
        of_a_dataset.__cause__ = UnreachableError("refused")
        assert bool(describe_failure(of_a_dataset)) is is_told


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
