"""Runs whose process was killed: nobody was left to tell MLflow that they have ended."""

import logging
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.utils.file_utils import local_file_uri_to_path

from minigpt_pipeline.processes import has_ended

logger = logging.getLogger(__name__)

PROCESS_TAG = "process"
UNFINISHED_UPLOADS = ".artifact.uploading.*"


def mark_killed_runs(experiment_id: str) -> None:
    """Mark the runs that still say RUNNING though their process on this machine is no more.

    Args:
        experiment_id: Where to look.
    """
    running = mlflow.search_runs([experiment_id], "attributes.status = 'RUNNING'", output_format="list")
    for run in running:
        process = run.data.tags.get(PROCESS_TAG)
        if process and has_ended(process):
            remove_unfinished_uploads(run)
            mlflow.MlflowClient().set_terminated(run.info.run_id, "KILLED")
            logger.info("The process of run %s was killed: the run is marked", run.info.run_id)


def remove_unfinished_uploads(run: Run) -> None:
    """Remove what MLflow had begun to write among the artifacts of a run when its process was killed.

    It writes each beside its place, as this project does, and leaves it there for ever. Servers keep their own house.
    """
    if run.info.artifact_uri.startswith("file:"):
        for path in Path(local_file_uri_to_path(run.info.artifact_uri)).rglob(UNFINISHED_UPLOADS):
            path.unlink(missing_ok=True)
