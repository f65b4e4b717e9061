"""Kedro's hooks, through which MLflow learns of a run; nodes know nothing of it."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from minigpt_pipeline.search.study_store import StudyError

if TYPE_CHECKING:
    from minigpt_pipeline.tracking.session import TrackedSession


class TrackingHooks:
    """Opens, fills and ends the MLflow run of a `kedro run`."""

    _context: KedroContext
    _session: "TrackedSession"
    _store: str

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the configuration for the run to come."""
        self._context = context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Open the run; where the store does not answer, nothing has been computed yet."""
        with _garbage_left_alone(), _notebooks_ruled_out():
            # MLflow takes a second to import, and `kedro registry list` needs none of it.
            from minigpt_pipeline.tracking.session import SessionInfo, TrackedSession
            from minigpt_pipeline.tracking.store import TrackingSettings, connect

            settings = TrackingSettings(**self._context.config_loader["mlflow"])
            project_path = Path(self._context.project_path)
            self._store = connect(settings, project_path)
            asked = run_params["pipeline_names"] or ["__default__"]
            names = [name for name in pipelines if name in asked]  # from the command line in no order
            info = SessionInfo(self._context.env or "local", "+".join(names), project_path)
            self._session = TrackedSession(info, pipeline, catalog, settings.system_metrics)

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Log the parameters of the node."""
        self._session.before_node(node, inputs)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Log the data that a model is trained or measured on."""
        self._session.after_load(dataset_name)

    @hook_impl
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Doubt the file until it is saved."""
        self._session.before_save(dataset_name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Write the lineage of the dataset, and log it where the catalog says so."""
        self._session.after_save(dataset_name)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """End the run and say what came of it."""
        from minigpt_pipeline.tracking.run_summary import print_summary

        run_id = self._session.run_id
        self._session.log_card()
        self._session.end("FINISHED")
        print_summary(pipeline, catalog, run_id, self._store, self._context.env)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Mark the run as failed; what it has logged stays. A search that refuses to go on has not failed."""
        if not hasattr(self, "_session"):
            return
        if isinstance(error, StudyError):
            self._session.withdraw()
        else:
            self._session.end("FAILED")


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """Pause the search for garbage while MLflow is loaded, and let it never look at what was loaded: all is to stay.

    The searches would take a third of the time of a short run. In a process that has loaded MLflow before, they go on,
    as there may be garbage.
    """
    if "mlflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _notebooks_ruled_out() -> Iterator[None]:
    """Keep MLflow from loading IPython to ask whether this is a notebook: in a notebook it is loaded."""
    if "IPython" in sys.modules:
        yield
        return
    sys.modules["IPython"] = None  # type: ignore[assignment] # so that its import fails at once
    try:
        yield
    finally:
        del sys.modules["IPython"]
