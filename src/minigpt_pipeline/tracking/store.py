"""The MLflow store of the project."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from kedro.io import DatasetError
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE, ErrorCode
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.db.utils import _safe_initialize_tables
from pydantic import BaseModel, ConfigDict
from requests.exceptions import RequestException
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from minigpt_pipeline.files import replacing
from minigpt_pipeline.hidden import hide_password
from minigpt_pipeline.project_folder import open_project

_RELATIVE_SQLITE = re.compile(r"sqlite:///(?!/)(?P<path>.+)")
_OF_KEDRO = re.compile(r"(\S+: )?Failed while ")
"""How it begins what it says of a dataset, behind the name where it has one."""
PATIENCE = 10
"""Seconds in which a store shall answer: a user waits for it."""

INSTALL = "install what it needs with `pip install --editable '.[cluster]'`"

IS_AWAY = tuple(map(ErrorCode.Name, (TEMPORARILY_UNAVAILABLE, INTERNAL_ERROR)))
"""Of MLflow's errors those that are no fault of whoever asks."""


class TrackingStoreError(RuntimeError):
    """The store can't be reached, or does not hold what it should."""


class TrackingSettings(BaseModel):
    """`conf/*/mlflow.yml`, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracking_uri: str
    artifact_location: str
    experiment: str
    system_metrics: bool
    system_metrics_interval: float


def read_tracking_settings(project_path: Path, environment: str) -> TrackingSettings:
    """Read them outside of a Kedro session; an environment that is not there has those of base."""
    from kedro.framework.project import settings

    open_project(project_path)
    conf = project_path / "conf"
    environment = environment if (conf / environment).is_dir() else "base"
    loader = settings.CONFIG_LOADER_CLASS(str(conf), env=environment, **settings.CONFIG_LOADER_ARGS)
    return TrackingSettings(**loader["mlflow"])


def connect(settings: TrackingSettings, project_path: Path) -> str:
    """Make the configured store and experiment those of this process.

    Args:
        settings: Which store, and which experiment in it.
        project_path: Where relative paths start.

    Returns:
        The store's address, without a password.

    Raises:
        TrackingStoreError: If the store does not answer, keeps artifacts elsewhere, or can't keep them.
    """
    with _asking(settings, project_path) as uri:
        _open_database(uri)
        if _find_experiment(settings, project_path, uri) is None:
            location = None if _is_served(settings, uri) else _locate_artifacts(settings, project_path)
            _look_at_artifacts(location)  # before it is the experiment's for ever
            mlflow.create_experiment(settings.experiment, artifact_location=location)
        experiment = mlflow.set_experiment(settings.experiment)
    _look_at_artifacts(experiment.artifact_location)
    if settings.system_metrics:
        mlflow.set_system_metrics_sampling_interval(settings.system_metrics_interval)
    return hide_password(uri)


def describe_store(settings: TrackingSettings, project_path: Path) -> str:
    """Say which store a run logs to, and whether it answers; nothing is made.

    Raises:
        TrackingStoreError: If the store does not answer, keeps artifacts elsewhere, or can't keep them.
    """
    uri = absolute_uri(settings.tracking_uri, project_path)
    database = make_url(uri).database if uri.startswith("sqlite:") else None
    if database and not Path(database).exists():
        return f"{uri} is made by the first run"
    with _asking(settings, project_path):
        _open_database(uri)
        experiment = _find_experiment(settings, project_path, uri)
    if experiment is None:
        return f"{hide_password(uri)} answers, and has not yet the experiment {settings.experiment}"
    _look_at_artifacts(experiment.artifact_location)
    return f"{hide_password(uri)} has the experiment {settings.experiment}, artifacts in {experiment.artifact_location}"


def _find_experiment(settings: TrackingSettings, project_path: Path, uri: str) -> Experiment | None:
    """Return the experiment, unless it keeps artifacts elsewhere: what is there does not come along.

    Projects on one machine may share an SQLite store that lies outside of them.
    """
    experiment = mlflow.get_experiment_by_name(settings.experiment)
    location = _locate_artifacts(settings, project_path)
    if experiment is None or _is_served(settings, uri) or experiment.artifact_location == location:
        return experiment
    told = f"The MLflow store {hide_password(uri)} keeps artifacts in {experiment.artifact_location}, and this project"
    if uri.startswith("sqlite:") and not _is_address(settings.artifact_location):
        if Path(str(make_url(uri).database)).parent != project_path:
            return experiment
        raise TrackingStoreError(
            f"{told} in {location}: it was moved, or copied. docs/operations.md says how the store learns of that"
        )
    raise TrackingStoreError(
        f"{told} would in {location}: set MINIGPT_ARTIFACTS={experiment.artifact_location}, or name another experiment "
        f"than {settings.experiment} in conf/base/mlflow.yml, for an experiment never changes its place"
    )


def _is_served(settings: TrackingSettings, uri: str) -> bool:
    """Whether a server decides where artifacts are kept."""
    is_database = make_url(uri).get_backend_name() in DATABASE_ENGINES
    return not is_database and not _is_address(settings.artifact_location)


def _locate_artifacts(settings: TrackingSettings, project_path: Path) -> str:
    if _is_address(settings.artifact_location):
        return settings.artifact_location.rstrip("/")
    return (project_path / settings.artifact_location).as_uri()


def _is_address(location: str) -> bool:
    return "://" in location


def _look_at_artifacts(location: str | None) -> None:
    """Ask for an artifact that is not there: a wrong bucket or key is told before anything is computed.

    Args:
        location: Where artifacts are kept; null where only the server knows.

    Raises:
        TrackingStoreError: If that can't be answered.
    """
    if location is None or location.startswith("file:"):
        return
    try:
        with quick_answers():
            mlflow.artifacts.list_artifacts(artifact_uri=f"{location}/none")
    except store_errors(ImportError) as error:
        reason = tell(error)
        raise TrackingStoreError(
            f"MLflow can't keep artifacts in {hide_password(location)} ({reason}): "
            f"{_advise_on_artifacts(location, reason)}"
        ) from error


@contextmanager
def _asking(settings: TrackingSettings, project_path: Path) -> Iterator[str]:
    """Ask the configured store, and say what can be done where it does not answer."""
    _settle_mlflow()
    uri = absolute_uri(settings.tracking_uri, project_path)
    if (
        uri.partition("?")[0].count("@") > 1
    ):  # what is behind the first one would be shown as a host that is not known
        raise TrackingStoreError(
            f"The MLflow store {hide_password(uri)} has an @ in its password: write it as %40"
        )
    with _unchanged_environment("MLFLOW_TRACKING_URI"):
        # MLflow sets the variable too, and the next session in this process would take that for the user's wish.
        mlflow.set_tracking_uri(uri)
    try:
        with quick_answers():
            yield uri
    except store_errors(OSError, ImportError) as error:
        reason = tell(error)
        raise TrackingStoreError(
            f"The MLflow store {hide_password(uri)} can't be used ({reason}): {_advise(uri, reason)}"
        ) from error


def _advise(uri: str, reason: str) -> str:
    """Say what can be done about a store that can't be used."""
    if "out-of-date database schema" in reason:  # MLflow says so of a newer one, too
        return (
            f"another version of MLflow than {mlflow.__version__} has written it: take that one, "
            f"or keep a copy and run `mlflow db upgrade {hide_password(uri)}` if it is an older one"
        )
    if "No module named" in reason:
        return INSTALL
    if "401" in reason or "not authenticated" in reason:
        return "its server wants a name and a password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if uri.startswith("sqlite:"):
        return "put back a copy of it, or move it away, and the next run makes a new one"
    return "start its server, correct its address, or unset MLFLOW_TRACKING_URI to log to mlflow.db in the project"


def _advise_on_artifacts(location: str, reason: str) -> str:
    """Say what can be done about a store of artifacts that can't be used."""
    if "No module named" in reason:
        return INSTALL
    if location.startswith("mlflow-artifacts:"):
        return "correct the bucket and the keys that MLflow's server was given (docs/services.md)"
    return (
        "make the bucket, or correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and MLFLOW_S3_ENDPOINT_URL "
        "(docs/services.md)"
    )


def _open_database(uri: str) -> None:
    """See whether a database can be opened, and make one of SQLite that is not there yet beside its place.

    MLflow asks ten times in a hundred seconds what a database answers at once. It makes its tables in many steps, and
    can't go on where a kill has left SQLite between two of them.
    """
    url = make_url(uri)
    kind = url.get_backend_name()
    if kind not in DATABASE_ENGINES or (kind == "sqlite" and not url.database):
        return
    if kind != "sqlite" or Path(str(url.database)).exists():
        waiting = {"connect_timeout": PATIENCE} if kind == "postgresql" else {}
        engine = create_engine(url, connect_args=waiting)
        engine.connect().close()
        engine.dispose()
        return
    with replacing(Path(str(url.database))) as partial:
        engine = create_engine(url.set(database=str(partial)))
        _safe_initialize_tables(engine)
        engine.dispose()


def store_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what a store raises that is away, or refuses, and others; packages that are not there raise nothing."""
    found: list[type[Exception]] = [MlflowException, SQLAlchemyError, RequestException, *others]
    with suppress(ImportError):
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        found += [Boto3Error, BotoCoreError, ClientError]
    return tuple(found)


def describe_failure(error: BaseException) -> str | None:
    """Return what a user reads of an error where the store has failed in the middle of a run; null where it has not."""
    each: BaseException | None = error
    while each is not None and not isinstance(each, TrackingStoreError) and not _says_itself(each):
        if isinstance(each, store_errors()) and getattr(each, "error_code", IS_AWAY[0]) in IS_AWAY:
            return (
                f"The MLflow store {hide_password(mlflow.get_tracking_uri())} has failed in the middle of the run "
                f"({tell(each)}): what was saved is whole; put that right, and run the same command again"
            )
        each = each.__cause__ or each.__context__
    return None


def _says_itself(error: BaseException) -> bool:
    """Whether a dataset has said what is wrong, such as a download's address; Kedro's own words say only where."""
    return isinstance(error, DatasetError) and not _OF_KEDRO.match(str(error))


def tell(error: Exception) -> str:
    """Return the first line of an error, without a password."""
    return hide_password((str(error).strip() or type(error).__name__).splitlines()[0])


def absolute_uri(uri: str, project_path: Path) -> str:
    """Let a relative SQLite path start at the project instead of the working directory, and name PostgreSQL's driver.

    SQLAlchemy's own choice differs from version to version.
    """
    match = _RELATIVE_SQLITE.fullmatch(uri)
    uri = f"sqlite:///{project_path / match['path']}" if match else uri
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", uri)


def _settle_mlflow() -> None:
    """Keep MLflow's own progress from between the lines that a user reads, and files on their way through its server.

    It would send whoever fetches one to the object store, which often answers the server alone.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It logs the traceback of what it raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


@contextmanager
def quick_answers() -> Iterator[None]:
    """Ask once and for seconds instead of MLflow's default of minutes: a user waits for the answer."""
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE)}
    with _unchanged_environment(*patience):
        os.environ.update(patience)
        yield


@contextmanager
def _unchanged_environment(*names: str) -> Iterator[None]:
    """Put variables of the environment back as they were."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
