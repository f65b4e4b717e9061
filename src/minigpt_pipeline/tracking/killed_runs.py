"""Runs whose process was killed: nobody was left to tell MLflow that they have ended."""

import logging
import socket
from pathlib import Path

import mlflow
import psutil
from mlflow.entities import Run
from mlflow.utils.file_utils import local_file_uri_to_path

logger = logging.getLogger(__name__)

PROCESS_TAG = "process"
UNFINISHED_UPLOADS = ".artifact.uploading.*"
TOLERANCE = 5.0
"""Seconds by which two readings of a process's start may differ, where the clock was set in between."""


def describe_process() -> str:
    """Return what tells this process from every other, `host:1234:1764000000.00`."""
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


def mark_killed_runs(experiment_id: str) -> None:
    """Mark the runs that still say RUNNING though their process on this machine is no more.

    Args:
        experiment_id: Where to look.
    """
    running = mlflow.search_runs([experiment_id], "attributes.status = 'RUNNING'", output_format="list")
    for run in running:
        process = run.data.tags.get(PROCESS_TAG, "")
        if process.startswith(f"{socket.gethostname()}:") and not _is_alive(process):
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


def _is_alive(described: str) -> bool:
    _, process_id, started = described.rsplit(":", 2)
    try:
        process = psutil.Process(int(process_id))
        difference = float(process.create_time()) - float(started)
    except psutil.NoSuchProcess:
        return False
    # A zombie has ended; only its parent has not looked yet.
    return abs(difference) < TOLERANCE and str(process.status()) != psutil.STATUS_ZOMBIE
