"""The MLflow store of the project."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _safe_initialize_tables
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from minigpt_pipeline.files import replacing

_RELATIVE_SQLITE = re.compile(r"sqlite:///(?!/)(?P<path>.+)")
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@]*@")


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
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project_path)
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
        TrackingStoreError: If the store does not answer, or was made in another folder.
    """
    shown = hide_password(absolute_uri(settings.tracking_uri, project_path))
    with _asking(settings, project_path) as uri:
        _open_sqlite(uri)
        if _find_experiment(settings, project_path, uri) is None:
            is_local = uri.startswith("sqlite:")
            location = (project_path / settings.artifact_location).as_uri() if is_local else None
            mlflow.create_experiment(settings.experiment, artifact_location=location)
        mlflow.set_experiment(settings.experiment)
    if settings.system_metrics:
        mlflow.set_system_metrics_sampling_interval(settings.system_metrics_interval)
    return shown


def describe_store(settings: TrackingSettings, project_path: Path) -> str:
    """Say which store a run logs to, and whether it answers; nothing is made.

    Raises:
        TrackingStoreError: If the store does not answer, or was made in another folder.
    """
    uri = absolute_uri(settings.tracking_uri, project_path)
    database = make_url(uri).database if uri.startswith("sqlite:") else None
    if database and not Path(database).exists():
        return f"{uri} is made by the first run"
    with _asking(settings, project_path):
        _open_sqlite(uri)
        experiment = _find_experiment(settings, project_path, uri)
    has = "has" if experiment else "answers, and has not yet"
    return f"{hide_password(uri)} {has} the experiment {settings.experiment}"


def _find_experiment(settings: TrackingSettings, project_path: Path, uri: str) -> Experiment | None:
    """Return the experiment, unless it is of a project that was moved or copied: its artifacts would not come along."""
    experiment = mlflow.get_experiment_by_name(settings.experiment)
    location = (project_path / settings.artifact_location).as_uri()
    database = make_url(uri).database if uri.startswith("sqlite:") else None
    is_ours = database is not None and Path(database).parent == project_path
    if experiment and is_ours and experiment.artifact_location != location:
        raise TrackingStoreError(
            f"The MLflow store {uri} keeps artifacts in {experiment.artifact_location}, and this project in "
            f"{location}: it was moved, or copied. docs/operations.md says how the store learns of that"
        )
    return experiment


@contextmanager
def _asking(settings: TrackingSettings, project_path: Path) -> Iterator[str]:
    """Ask the configured store, and say what can be done where it does not answer."""
    _silence()
    uri = absolute_uri(settings.tracking_uri, project_path)
    with _unchanged_environment("MLFLOW_TRACKING_URI"):
        # MLflow sets the variable too, and the next session in this process would take that for the user's wish.
        mlflow.set_tracking_uri(uri)
    try:
        with _quick_answers():
            yield uri
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = hide_password(str(error).splitlines()[0])
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
    if uri.startswith("sqlite:"):
        return "put back a copy of it, or move it away, and the next run makes a new one"
    return "start its server, or unset MLFLOW_TRACKING_URI to log to mlflow.db in the project"


def _open_sqlite(uri: str) -> None:
    """See whether an SQLite store can be opened, and make one that is not there yet beside its place.

    MLflow asks ten times in a hundred seconds what SQLite answers at once. It makes its tables in many steps, and can't
    go on where a kill has left it between two of them.
    """
    url = make_url(uri)
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    if Path(url.database).exists():
        create_engine(url).connect().close()
        return
    with replacing(Path(url.database)) as partial:
        engine = create_engine(url.set(database=str(partial)))
        _safe_initialize_tables(engine)
        engine.dispose()


def hide_password(text: str) -> str:
    """Leave the password out of any address in a text."""
    return _PASSWORD.sub(r"\1:***@", text)


def absolute_uri(uri: str, project_path: Path) -> str:
    """Let a relative SQLite path start at the project instead of the working directory."""
    match = _RELATIVE_SQLITE.fullmatch(uri)
    return f"sqlite:///{project_path / match['path']}" if match else uri


def _silence() -> None:
    """Keep MLflow's own progress from between the lines that a user reads."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def _quick_answers() -> Iterator[None]:
    """Ask once and for seconds instead of MLflow's default of minutes: a user waits for the answer."""
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
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
