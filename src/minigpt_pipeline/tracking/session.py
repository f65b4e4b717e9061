"""One `kedro run` as MLflow sees it.

One trained model is one run: a session that trains opens it, one that starts from a trained model goes on with that
model's run, and one that only makes data has a run of its own. So has a search: its trials are children of it, and a
session that goes on with the search goes on with its run. See docs/adr/0002.
"""

import atexit
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from minigpt_pipeline.commit import read_commit
from minigpt_pipeline.hidden import hide_password
from minigpt_pipeline.processes import describe_process
from minigpt_pipeline.project_lock import SCHEDULE_VARIABLE
from minigpt_pipeline.tracking.dataset_logging import log_dataset, log_input
from minigpt_pipeline.tracking.flat_parameters import flatten_parameters
from minigpt_pipeline.tracking.keys import describe_origin, find_log_as, find_path, is_parameter, make_key
from minigpt_pipeline.tracking.killed_runs import (
    PROCESS_TAG,
    mark_killed_runs,
    remove_unfinished_uploads,
)
from minigpt_pipeline.tracking.lineage import (
    CYCLE_VARIABLE,
    Lineage,
    new_cycle,
    read_known_lineage,
    read_lineage,
    write_lineage,
)
from minigpt_pipeline.tracking.model_card import render_model_card
from minigpt_pipeline.tracking.parameter_logging import log_parameters
from minigpt_pipeline.tracking.store import (
    TrackingStoreError,
    quick_answers,
    store_errors,
    tell,
)

logger = logging.getLogger(__name__)

RAW_REVIEWS = "raw_reviews"
TRAINED_MODEL = "trained_model"
SWEEP_STUDY = "sweep_study"


@dataclass(frozen=True)
class SessionInfo:
    """What the tags of a run say about the session that opened it."""

    environment: str
    pipeline_name: str
    project_path: Path


class TrackedSession:
    """The open MLflow run of a `kedro run`, and the lineage of all that it loads and saves.

    Args:
        info: Environment, pipeline and project of the session.
        pipeline: What will run.
        catalog: Where its datasets lie.
        system_metrics: Log CPU, memory and GPU while a model is trained.

    Raises:
        TrackingStoreError: If the session goes on with a trained model or a search whose run is not in the store.
        StudyError: If another session is at work on the search: its run is left alone.
    """

    def __init__(
        self, info: SessionInfo, pipeline: Pipeline, catalog: DataCatalog, system_metrics: bool
    ) -> None:
        """Open the run."""
        self._catalog = catalog
        if SWEEP_STUDY in pipeline.inputs():
            self._dataset(SWEEP_STUDY).load().check_free()
        self._run_before: Run | None = None
        self._lineages = self._read_lineages(pipeline.inputs(), read_lineage)
        self._trains = TRAINED_MODEL in pipeline.all_outputs()
        former = self._find_former()
        self.cycle = self._lineages[former].cycle if former else self._choose_cycle(pipeline)
        # A session that is interrupted, from here on, never reaches the hooks that end its run.
        atexit.register(self.end, "KILLED")
        if former:
            self._resume(former)
        else:
            name = f"{info.pipeline_name.strip('_')} {info.environment}"
            tags = self._tags(info) | self._data_tag(info) | {PROCESS_TAG: describe_process()}
            # In one step: a run that does not say whose it is would say RUNNING for ever, were its process killed.
            mlflow.start_run(run_name=name, tags=tags, log_system_metrics=system_metrics and self._trains)
        mark_killed_runs(mlflow.active_run().info.experiment_id)
        self._log_what_earlier_pipelines_saved(pipeline)

    @property
    def run_id(self) -> str:
        """The id of the open run."""
        run = mlflow.active_run()
        if run is None:
            raise RuntimeError("The MLflow run of this session has ended")
        return str(run.info.run_id)

    def _read_lineages(
        self, names: Iterable[str], read: Callable[[Path], Lineage | None]
    ) -> dict[str, Lineage]:
        lineages = {name: read(path) for name in names if (path := self._filepath(name))}
        return {name: lineage for name, lineage in lineages.items() if lineage}

    def _find_former(self) -> str | None:
        """Return the input whose run this session goes on with; None where it has a run of its own."""
        of_models = [name for name, lineage in sorted(self._lineages.items()) if lineage.run_id]
        names = (TRAINED_MODEL, SWEEP_STUDY, *([] if self._trains else of_models))
        return next((name for name in names if name in self._lineages), None)

    def _choose_cycle(self, pipeline: Pipeline) -> str:
        """Return the cycle that the environment names, or a new one for new data, or that of the data there is."""
        makes_data = RAW_REVIEWS in pipeline.all_outputs()
        of_data = [lineage.cycle for lineage in self._lineages.values() if not makes_data]
        return os.environ.get(CYCLE_VARIABLE) or max(of_data, default=None) or new_cycle()

    def _resume(self, name: str) -> None:
        """Go on with the run that a dataset comes from."""
        run_id = self._lineages[name].run_id
        try:
            self._run_before = mlflow.get_run(run_id)
            remove_unfinished_uploads(self._run_before)
            mlflow.MlflowClient().set_tag(run_id, PROCESS_TAG, describe_process())  # before it says RUNNING
            mlflow.start_run(run_id=run_id)
        except MlflowException as error:
            store, reason = hide_password(mlflow.get_tracking_uri()), tell(error)
            raise TrackingStoreError(
                f"The run {run_id}, which made {self._filepath(name)}, can't be continued in the store "
                f"{store} ({reason}): set MLFLOW_TRACKING_URI to the store it was made with, or make the file again"
            ) from error

    def _tags(self, info: SessionInfo) -> dict[str, str]:
        schedule = os.environ.get(SCHEDULE_VARIABLE)
        return ({"schedule": schedule} if schedule else {}) | {
            "cycle": self.cycle,
            "environment": info.environment,
            "pipeline": info.pipeline_name,
            "git_commit": str(read_commit(info.project_path)),
        }

    def _data_tag(self, info: SessionInfo) -> dict[str, str]:
        """Name the folder of the data that a model is trained on: models of others are no match for it."""
        path = self._filepath(TRAINED_MODEL) if self._trains else None
        if path is None:
            return {}
        folder = path.parents[1]
        is_inside = folder.is_relative_to(info.project_path)
        return {"data": str(folder.relative_to(info.project_path) if is_inside else folder)}

    def _log_what_earlier_pipelines_saved(self, pipeline: Pipeline) -> None:
        """Give a model's run the reports of its data also where the data was made by an earlier session."""
        if not self._trains:
            return
        names = sorted(set(self._catalog.keys()) - pipeline.all_outputs())
        earlier = self._read_lineages(names, read_known_lineage)
        origins = {lineage.key: lineage.made_of for lineage in earlier.values() if lineage.key}
        found, behind = set[str](), {lineage.key for lineage in self._lineages.values() if lineage.key}
        while behind:
            found |= behind
            behind = {key for each in behind for key in origins.get(each, {}).values()} - found
        for name, lineage in earlier.items():
            is_of_data = lineage.run_id is None and (lineage.cycle == self.cycle or lineage.key in found)
            if is_of_data and find_log_as(self._catalog[name]) == "artifact":
                log_dataset(self._dataset(name))

    def before_node(self, node: Node, inputs: dict[str, Any]) -> None:
        """Log the parameters that a node takes, and those that made its inputs."""
        parameters = self._parameters_of(inputs)
        log_parameters(parameters)
        knows_model = TRAINED_MODEL in node.outputs or any(
            lineage.run_id for name in node.inputs if (lineage := self._lineages.get(name))
        )
        keys = {name: lineage.key for name, lineage in self._lineages.items() if lineage.key}
        origin = describe_origin(node, self._catalog, keys, inputs)
        self._lineage_of_outputs = Lineage(
            self.cycle, self.run_id if knows_model else None, parameters, make_key(origin), origin
        )
        if SWEEP_STUDY in node.inputs and (path := self._filepath(SWEEP_STUDY)):
            # Written before the first trial: a search that is killed goes on in the same run.
            write_lineage(path, Lineage(self.cycle, self.run_id))

    def _parameters_of(self, inputs: dict[str, Any]) -> dict[str, str]:
        parameters: dict[str, str] = {}
        for name, value in inputs.items():
            if is_parameter(name, self._catalog.get(name)):
                parameters |= flatten_parameters(name.removeprefix("params:"), value)
            elif lineage := self._lineages.get(name):
                parameters |= lineage.parameters
        return parameters

    def after_load(self, name: str) -> None:
        """Log which data a model is trained or evaluated on."""
        if find_log_as(self._catalog.get(name)) == "dataset" and (
            self._trains or TRAINED_MODEL in self._lineages
        ):
            log_input(name, self._dataset(name))

    def before_save(self, name: str) -> None:
        """Take the key from what is there: nobody is sure of a file while it is saved, or of one left by a kill."""
        path = self._filepath(name)
        if path and (lineage := read_known_lineage(path)):
            write_lineage(path, replace(lineage, key=None))

    def after_save(self, name: str) -> None:
        """Write the lineage of what a node has made, and log what the catalog says is for MLflow."""
        self._lineages[name] = self._lineage_of_outputs
        if path := self._filepath(name):
            write_lineage(path, self._lineage_of_outputs)
            log_dataset(self._dataset(name))

    def log_card(self) -> None:
        """Describe the model for people, as an artifact and in the notes, with all that is known by now."""
        if not self._trains and TRAINED_MODEL not in self._lineages:
            return
        run = mlflow.get_run(self.run_id)
        card = render_model_card(run)
        mlflow.log_text(card, "model_card.md")
        mlflow.set_tag(MLFLOW_RUN_NOTE, card)
        for model in run.outputs.model_outputs if run.outputs else ():
            mlflow.set_logged_model_tags(model.model_id, {MLFLOW_RUN_NOTE: card})

    def end(self, status: str) -> None:
        """End the run; a second call does nothing.

        One that has failed stays as it is where the store is away: the next run on this machine marks it.
        """
        atexit.unregister(self.end)
        if mlflow.active_run() is None:
            return
        if status == "FINISHED":
            mlflow.end_run(status)
            return
        with suppress(*store_errors()), quick_answers():
            mlflow.end_run(status)

    def withdraw(self) -> None:
        """Leave the run that this session has gone on with as it was before, and end one of its own as failed.

        Parameters that the run did not have stay in it: MLflow takes none back.
        """
        before = self._run_before
        self.end(before.info.status if before else "FAILED")
        if before is None:
            return
        client, run_id = mlflow.MlflowClient(), before.info.run_id
        client.set_terminated(run_id, before.info.status, before.info.end_time)
        for name, value in mlflow.get_run(run_id).data.tags.items():
            if name not in before.data.tags:
                client.delete_tag(run_id, name)
            elif value != before.data.tags[name]:
                client.set_tag(run_id, name, before.data.tags[name])

    def _dataset(self, name: str) -> AbstractDataset[Any, Any]:
        dataset = self._catalog.get(name)
        if dataset is None:
            raise KeyError(f"{name!r} is not in the catalog")
        return dataset

    def _filepath(self, name: str) -> Path | None:
        return find_path(self._catalog.get(name))
