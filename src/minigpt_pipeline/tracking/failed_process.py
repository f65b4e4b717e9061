"""`python -m minigpt_pipeline.tracking.failed_process`: let MLflow show a `kedro run` that failed and could not tell.

One that was killed has left a run that still says RUNNING; one that failed before it opened a run has left none. The
message comes from standard input; each run of the process goes to standard output with its status.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from minigpt_pipeline.commit import read_commit
from minigpt_pipeline.quiet import quieten
from minigpt_pipeline.tracking.killed_runs import PROCESS_TAG, mark_killed_runs
from minigpt_pipeline.tracking.store import connect, read_tracking_settings

TAGS = ("cycle", "schedule", "pipeline", "environment")
ENDED_BADLY = {"FAILED", "KILLED"}


def record_failure(experiment_id: str, process: str, tags: Mapping[str, str], message: str) -> dict[str, str]:
    """Mark the runs of a process that was killed, and make a failed run where none tells of the failure.

    Args:
        experiment_id: Where its runs are.
        process: In the form of `describe_process`; it has ended.
        tags: Of the run that is made.
        message: What went wrong.

    Returns:
        The status of each run of the process, by its id.
    """
    mark_killed_runs(experiment_id)
    statuses = _find_statuses(experiment_id, process)
    if not ENDED_BADLY & set(statuses.values()):
        client = mlflow.MlflowClient()
        all_tags = {**tags, PROCESS_TAG: process, MLFLOW_RUN_NOTE: message}
        name = f"{tags['pipeline']} {tags['environment']}"
        run_id = client.create_run(experiment_id, tags=all_tags, run_name=name).info.run_id
        client.set_terminated(run_id, "FAILED")
        statuses[run_id] = "FAILED"
    return statuses


def _find_statuses(experiment_id: str, process: str) -> dict[str, str]:
    runs = mlflow.search_runs([experiment_id], f"tags.{PROCESS_TAG} = '{process}'", output_format="list")
    return {run.info.run_id: run.info.status for run in runs}


def main(arguments: list[str] | None = None) -> None:
    """Do so for the project in the working directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("process", *TAGS):
        parser.add_argument(f"--{name}", required=True)
    values = vars(parser.parse_args(arguments))
    quieten()
    project, process = Path.cwd(), values.pop("process")
    settings = read_tracking_settings(project, values["environment"])
    connect(settings, project)
    experiment = mlflow.get_experiment_by_name(settings.experiment)
    tags = {**values, "git_commit": str(read_commit(project))}
    sys.stdout.write(json.dumps(record_failure(experiment.experiment_id, process, tags, sys.stdin.read())))


if __name__ == "__main__":
    main()
