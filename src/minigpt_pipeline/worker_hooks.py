"""What a `kedro run` is to one of several workers that train a model together: the chief's is a run like any other.

The others take part in `train_model` and keep what comes of it in memory: no dataset, no MLflow run, no lock.
"""

import logging
from collections.abc import Sequence
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from minigpt_pipeline.model.cluster import VARIABLE, is_other_worker, read_cluster
from minigpt_pipeline.parameters import ComputeSettings

logger = logging.getLogger(__name__)

TRAINING_NODE = "train_model"
COMPUTE = "compute"
TRAINING_LOG = "training_log"
STRATEGY = "multi_worker"


class SilentLog:
    """A `TrainingLog` of a worker that is not the chief: what it measures, the chief measures too."""

    name = "none"

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Leave it to the chief."""

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Leave it to the chief."""

    def take_over(
        self,
        former: str,
        measurements: Sequence[tuple[int, dict[str, float]]],
        samples: Sequence[dict[str, Any]],
    ) -> None:
        """Leave it to the chief."""


class WorkerHooks:
    """Refuses what can't be done by several workers, and keeps all but the chief from writing."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Look before anything is loaded, made or logged."""
        check_run(pipeline, catalog)
        if not is_other_worker():
            return
        logging.getLogger("kedro.io.data_catalog").setLevel(logging.ERROR)  # it warns of what is replaced
        for name in pipeline.all_outputs():
            catalog[name] = MemoryDataset(copy_mode="assign")
        catalog[TRAINING_LOG] = MemoryDataset(SilentLog(), copy_mode="assign")

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Say why nothing was saved."""
        if is_other_worker():
            cluster = read_cluster()
            logger.info(
                "Worker %d has done its part and saves nothing: %s does", cluster.index, cluster.describe(0)
            )


def check_run(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Check that a run and the variable `TF_CONFIG` go together.

    Raises:
        ValueError: If they do not.
    """
    names = {node.name for node in pipeline.nodes}
    trains = TRAINING_NODE in names and _load_settings(catalog).strategy == STRATEGY
    if is_other_worker() and (not trains or names != {TRAINING_NODE}):
        raise ValueError(
            f"{VARIABLE} makes this process worker {read_cluster().index}, which takes part in a training with "
            f"strategy={STRATEGY} and does nothing else: add --pipelines training --params strategy={STRATEGY}, or "
            f"unset {VARIABLE}"
        )
    if "search_parameters" in names and _load_settings(catalog).strategy == STRATEGY:
        raise ValueError(f"strategy={STRATEGY} trains one model: a search takes one_device or mirrored")
    if not trains:
        return
    read_cluster()
    (node,) = (node for node in pipeline.nodes if node.name == TRAINING_NODE)
    if "champion" in node.inputs:
        raise ValueError(
            f"strategy={STRATEGY} is for --pipelines training; retraining decides on one machine what is made again: "
            "take one_device or mirrored"
        )
    if made := sorted(set(node.inputs) & pipeline.all_outputs()):
        raise ValueError(
            f"strategy={STRATEGY} trains on data that is there before the workers start, and this run makes "
            f"{', '.join(made)}: run --pipelines data first, then --pipelines training on each worker"
        )


def _load_settings(catalog: DataCatalog) -> ComputeSettings:
    settings: ComputeSettings = catalog.load(COMPUTE)
    return settings
