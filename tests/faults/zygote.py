"""A process that has loaded what runs load, and becomes one `kedro run` after the other by forking.

Of the ten seconds of a run nine are imports, in which nothing can be lost. A run that begins here costs a second or
two, and no random moment is wasted. What is loaded is not yet used: TensorFlow, whose threads no fork would take along,
begins in the run itself. One kill of thirty is of a process that was not forked, from its first moment on.

Each line of standard input is a request; the answers are `ready`, then for each run `pid N` and `status N`.
"""

import gc
import importlib
import json
import os
import sys
from typing import Any

LOADED = (
    "minigpt_pipeline.settings",  # first: it says how others are to be loaded
    "kedro.framework.cli.cli",
    "kedro.framework.session",
    "kedro.runner",
    "minigpt_pipeline.tracking.session",
    "minigpt_pipeline.tracking.run_summary",
    "minigpt_pipeline.tracking.model_logging",
    "mlflow.tracking.fluent",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.data.meta_dataset",
    "great_expectations",
    "great_expectations.render",
    "matplotlib.pyplot",
    "optuna",
    "optuna.storages",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "tensorflow",
    "keras",
    "minigpt_pipeline.cli",
    "minigpt_pipeline.pipeline_registry",
    "minigpt_pipeline.expectations.data_docs",
    "minigpt_pipeline.model.training",
    "minigpt_pipeline.model.generation",
    "minigpt_pipeline.search.search",
    "tests.faults.inside",
)


def load() -> None:
    """Import it all, and keep what a run would otherwise look at again: each page it writes to is copied."""
    from kedro.framework.project import configure_project

    for name in LOADED:
        importlib.import_module(name)
    configure_project("minigpt_pipeline")
    gc.collect()
    gc.freeze()


def serve() -> dict[str, Any] | None:
    """Fork at each request and answer how the run ended; return the request in the run, and nothing at the end."""
    for line in iter(sys.stdin.readline, ""):
        process_id = os.fork()
        if process_id == 0:
            return json.loads(line)
        tell(f"pid {process_id}")
        _, status = os.waitpid(process_id, 0)
        tell(f"status {os.waitstatus_to_exitcode(status)}")
    return None


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def become(request: dict[str, Any]) -> None:
    """Be the `kedro run` that is asked for, with the fault that is to happen in it."""
    from kedro.framework.cli.cli import main

    from tests.faults.inside import prepare

    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    os.setsid()  # what it begins can be killed with it
    os.environ.update(request["environment"])
    os.chdir(request["project"])
    sys.argv = ["kedro", "run", *request["arguments"]]
    prepare(request["faults"])
    main()


if __name__ == "__main__":
    load()
    tell("ready")
    if run := serve():
        become(run)
