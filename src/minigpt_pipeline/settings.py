"""Kedro's settings of this project."""

import os

from kedro.config import OmegaConfigLoader

from minigpt_pipeline.hidden import hide_in_logs
from minigpt_pipeline.model.cluster import is_other_worker
from minigpt_pipeline.node_lines import NodeLines
from minigpt_pipeline.quiet import quieten
from minigpt_pipeline.tracking.hooks import TrackingHooks
from minigpt_pipeline.worker_hooks import WorkerHooks

quieten()
hide_in_logs()

# One heap for Python's strings and pyarrow's columns: with two, what the one frees is of no use to the other. pyarrow
# reads this when it is imported, which nothing has done yet.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

# Of workers that train together the chief alone has an MLflow run.
HOOKS = (*(() if is_other_worker() else (TrackingHooks(),)), NodeLines(), WorkerHooks())

# MLflow is ours to drive: a run here is a trained model, not a Kedro session (docs/adr/0002).
# Kedro-Viz would keep the words of each error, with addresses and their passwords, in a file of the project.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-telemetry", "kedro-viz")


def _environment_variable(name: str, default: str | None = None) -> str | None:
    """Resolve `${environment:NAME,default}`; Kedro keeps `oc.env` for credentials."""
    return os.environ.get(name) or default


CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*"]},
    "custom_resolvers": {"environment": _environment_variable},
    # An environment names only the values in which it differs.
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
}
