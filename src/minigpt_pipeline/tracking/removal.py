"""Runs and models of MLflow, removed for good: rows, artifacts, and what MLflow's own `gc` leaves behind.

What goes is first hidden from everybody, then its files go, then its rows. A process that is killed in between leaves
nothing that can be found and is half there; the next removal goes on with what this one has hidden. A server's rows are
the server's alone to remove: there, everything is hidden, and `mlflow gc` on the server does the rest.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Run, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.db_types import SQLITE
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag
from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput, SqlInputTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from sqlalchemy import and_, delete, func, make_url, or_, select

from minigpt_pipeline.model_versions import DECISION_TAG
from minigpt_pipeline.promotion_policy import Outcome
from minigpt_pipeline.retention_policy import Choice, KnownRun
from minigpt_pipeline.tracking.model_registry import ModelRegistry

logger = logging.getLogger(__name__)

REMOVED_TAG = "removed"
"""Of a run of which something goes, or has gone: whoever hides a run by hand has not set it."""
RUN_GOES, MODEL_GOES, MODEL_GONE = "the run goes", "the model goes", "the model"
"""Its values."""
KEEP_TAG = "keep"
"""Of a run that somebody wants to keep for ever, whatever its value."""
IN_USE_OUTCOMES = (Outcome.PROMOTED, Outcome.RESTORED)
ROLLBACK_TAG = "rollback"
AT_ONCE = 1000
SHARE_OF_FREE_PAGES = 0.5
DATASET = "DATASET"
"""How MLflow calls the source of an edge from data to a run."""
SMALLEST_GAIN = 16_000_000
"""Bytes, for which a database is written anew."""


class RunArchive:
    """The runs, models and versions of one experiment.

    Args:
        experiment_id: Which.
        registered_model: Whose versions are those of the runs.
    """

    def __init__(self, experiment_id: str, registered_model: str) -> None:
        self._client = MlflowClient()
        self._experiment_id, self._model = experiment_id, registered_model
        store = _get_store()
        self._database = store if isinstance(store, SqlAlchemyStore) else None

    @property
    def frees_space(self) -> bool:
        """Whether what goes is gone for good; else a server has hidden it."""
        return self._database is not None

    def list_runs(self, needed: Mapping[str, str]) -> list[KnownRun]:
        """Describe all runs that are not hidden, the newest first.

        Args:
            needed: Runs that stay, by their ids, and why.
        """
        versions = {version.run_id: version for version in self._list_versions()}
        named = {
            version: alias for alias, version in ModelRegistry(self._model, self._client).aliases().items()
        }
        places: set[tuple[str, str]] = set()
        return [
            self._describe(run, versions.get(run.info.run_id), named, needed, places)
            for run in self._search(ViewType.ACTIVE_ONLY)
        ]

    def _describe(
        self,
        run: Run,
        version: ModelVersion | None,
        named: Mapping[str, str],
        needed: Mapping[str, str],
        places: set[tuple[str, str]],
    ) -> KnownRun:
        tags, run_id = run.data.tags, run.info.run_id
        has_model = bool(_list_models(run)) and tags.get(REMOVED_TAG) != MODEL_GONE
        place = (tags.get("environment", ""), tags.get("data", ""))
        # Of another copy of the project, perhaps, which still has its files.
        is_newest = has_model and place not in places
        if has_model:
            places.add(place)
        alias = named.get(str(version.version)) if version else None
        reasons = (
            f"its version is the {alias}" if alias else "",
            needed.get(run_id, ""),
            f"it has the tag {KEEP_TAG}" if KEEP_TAG in tags else "",
            "its model is the newest of its data" if is_newest else "",
        )
        return KnownRun(
            run_id,
            tags.get(MLFLOW_PARENT_RUN_ID, run_id),
            run.info.start_time / 1000,
            run.info.status,
            has_model,
            version is not None
            and (version.tags.get(DECISION_TAG) in IN_USE_OUTCOMES or ROLLBACK_TAG in version.tags),
            next(filter(None, reasons), ""),
        )

    def remove_run(self, run_id: str) -> None:
        """Remove a run with its model, its version and its artifacts."""
        self._client.set_tag(run_id, REMOVED_TAG, RUN_GOES)
        self._hide_model(self._client.get_run(run_id))
        self._client.delete_run(run_id)
        self._finish_run(run_id)

    def remove_model(self, run_id: str) -> None:
        """Remove the model of a run, and its version; figures, curves, texts and plots stay."""
        self._client.set_tag(run_id, REMOVED_TAG, MODEL_GOES)
        run = self._client.get_run(run_id)
        self._hide_model(run)
        self._finish_models(run)
        self._client.set_tag(run_id, REMOVED_TAG, MODEL_GONE)

    def finish(self) -> None:
        """Go on with what a removal that was killed has begun, and remove the rows that nothing refers to."""
        for run in self._search(ViewType.ACTIVE_ONLY, f"tags.{REMOVED_TAG} = '{RUN_GOES}'"):
            self.remove_run(run.info.run_id)
        for run in self._search(ViewType.ACTIVE_ONLY, f"tags.{REMOVED_TAG} = '{MODEL_GOES}'"):
            self.remove_model(run.info.run_id)
        if self._database is None:
            return
        for run in self._search(ViewType.DELETED_ONLY, f"tags.{REMOVED_TAG} = '{RUN_GOES}'"):
            self._finish_run(run.info.run_id)
        self._purge(self._database)

    def measure(self, choice: Choice) -> int:
        """Return the bytes of the artifacts that go, as far as they lie on this machine."""
        places = []
        for run in (self._client.get_run(one.run_id) for one in (*choice.runs, *choice.models)):
            for each in _list_models(run):
                with suppress(mlflow.MlflowException):  # it went before its run
                    places.append(self._client.get_logged_model(each.model_id).artifact_location)
        places += [self._client.get_run(one.run_id).info.artifact_uri for one in choice.runs]
        return sum(
            measure(Path(local_file_uri_to_path(place))) for place in places if place.startswith("file:")
        )

    def _search(self, view: int, filter_string: str = "") -> Iterable[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], filter_string, view, AT_ONCE, ["attributes.start_time DESC"], token
            )
            yield from page
            if not (token := page.token):
                return

    def _list_versions(self) -> Iterable[Any]:
        token = None
        while True:
            page = self._client.search_model_versions(f"name = '{self._model}'", AT_ONCE, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _hide_model(self, run: Run) -> None:
        """Take version and model of a run out of everybody's sight, the version first: what it names is still whole."""
        for version in self._client.search_model_versions(
            f"name = '{self._model}' and run_id = '{run.info.run_id}'"
        ):
            self._client.delete_model_version(self._model, str(version.version))
        for output in _list_models(run):
            with suppress(mlflow.MlflowException):  # hidden already
                self._client.delete_logged_model(output.model_id)

    def _finish_run(self, run_id: str) -> None:
        if self._database is None:
            return
        run = self._database.get_run(run_id)
        self._finish_models(run)
        _remove_artifacts(run.info.artifact_uri)
        with self._database.ManagedSessionMaker(read_only=False) as session:
            of_run = or_(SqlInput.destination_id == run_id, SqlInput.source_id == run_id)
            edges = select(SqlInput.input_uuid).where(of_run)
            session.execute(delete(SqlInputTag).where(SqlInputTag.input_uuid.in_(edges)))
            session.execute(delete(SqlInput).where(of_run))
        self._database._hard_delete_run(run_id)

    def _finish_models(self, run: Run) -> None:
        for output in _list_models(run):
            self._finish_model(output.model_id)

    def _finish_model(self, model_id: str) -> None:
        """Remove files and rows of a model that is hidden."""
        if self._database is None:
            return
        with suppress(mlflow.MlflowException):  # gone already
            model = self._database.get_logged_model(model_id, allow_deleted=True)
            _remove_artifacts(model.artifact_location)
            self._database._hard_delete_logged_model(model_id)

    def _purge(self, database: SqlAlchemyStore) -> None:
        """Remove rows of data that no run names any more, and of versions that were removed.

        The newest row of a version stays: MLflow numbers on from it, and no number is to come twice.
        """
        is_gone = and_(
            SqlModelVersion.name == self._model, SqlModelVersion.current_stage == STAGE_DELETED_INTERNAL
        )
        newest = select(func.max(SqlModelVersion.version)).where(SqlModelVersion.name == self._model)
        with database.ManagedSessionMaker(read_only=False) as session:
            used = select(SqlInput.source_id).where(SqlInput.source_type == DATASET)
            session.execute(delete(SqlDataset).where(SqlDataset.dataset_uuid.not_in(used)))
            gone = session.scalars(select(SqlModelVersion.version).where(is_gone)).all()
            last = session.scalar(newest)
            tags = and_(SqlModelVersionTag.name == self._model, SqlModelVersionTag.version.in_(gone))
            session.execute(delete(SqlModelVersionTag).where(tags))
            session.execute(delete(SqlModelVersion).where(and_(is_gone, SqlModelVersion.version != last)))

    def compact(self) -> int:
        """Write an SQLite database anew where at least half of it is free, and nobody else is at work on it.

        Returns:
            The bytes that it is smaller by.
        """
        if self._database is None or self._database.db_type != SQLITE:
            return 0
        path = Path(str(make_url(self._database.db_uri).database))
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            names = ("freelist_count", "page_count", "page_size")
            free, pages, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
            if free < SHARE_OF_FREE_PAGES * pages or free * size < SMALLEST_GAIN:
                return 0
            try:
                connection.execute("VACUUM")
            # Somebody is at work on it, or the disk has no room for a copy.
            except sqlite3.OperationalError as error:
                logger.info("%s is not made smaller now: %s", path, error)
                return 0
        return free * size


def _list_models(run: Run) -> list[LoggedModelOutput]:
    return run.outputs.model_outputs if run.outputs else []


def measure(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove_artifacts(uri: str) -> None:
    """Remove the artifacts in a place, and the folder around them, which MLflow leaves."""
    get_artifact_repository(uri).delete_artifacts()
    if uri.startswith("file:"):
        with suppress(OSError):  # it is gone, or somebody keeps something else in it
            Path(local_file_uri_to_path(uri)).parent.rmdir()
