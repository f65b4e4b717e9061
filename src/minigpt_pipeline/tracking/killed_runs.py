"""Runs whose process was killed: nobody was left to tell MLflow that they have ended."""

import logging
import socket

import mlflow
import psutil

logger = logging.getLogger(__name__)

PROCESS_TAG = "process"
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
            mlflow.MlflowClient().set_terminated(run.info.run_id, "KILLED")
            logger.info("The process of run %s was killed: the run is marked", run.info.run_id)


def _is_alive(described: str) -> bool:
    _, process_id, started = described.rsplit(":", 2)
    try:
        process = psutil.Process(int(process_id))
        difference = float(process.create_time()) - float(started)
    except psutil.NoSuchProcess:
        return False
    # A zombie has ended; only its parent has not looked yet.
    return abs(difference) < TOLERANCE and str(process.status()) != psutil.STATUS_ZOMBIE
