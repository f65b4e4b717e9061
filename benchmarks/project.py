"""The one door to the project: parameters, catalog and pipelines as `kedro run` has them, without MLflow.

Variants differ by what a user would write after `kedro run --params`; nothing here names a parameter's default.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import PROJECT

if TYPE_CHECKING:
    from kedro.io import DataCatalog

    from minigpt_pipeline.model.mini_gpt import MiniGPT
    from minigpt_pipeline.model.training_step import Step

EXAMPLE = "keras_example"
"""The environment with the published example's sizes."""

NEVER = 10**9
"""Step at which a falling learning rate reaches zero, where no limit says."""

Overrides = Mapping[str, Any]
"""As of `kedro run --params`, nested: `{"precision": "mixed_bfloat16", "model": {"num_heads": 4}}`."""


def copy_project(folder: Path) -> Path:
    """Copy what a run needs, without what runs have made, so that it can run apart.

    Args:
        folder: The copy; it must not exist yet.
    """
    shutil.copytree(PROJECT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf/local").mkdir()
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (folder / "src").mkdir()  # Kedro asks for it; the package is found where this process finds it
    (folder / "data").mkdir()
    shutil.copytree(
        PROJECT / "data/01_raw", folder / "data/01_raw", ignore=shutil.ignore_patterns("aclImdb*")
    )
    return folder


def open_catalog(
    environment: str, overrides: Overrides | None = None, project: Path = PROJECT
) -> "DataCatalog":
    """Return the catalog of a project: its datasets, and its checked parameters as `params:...`.

    Args:
        environment: Such as `base`.
        overrides: Parameters that differ from the environment's.
        project: The project or a copy of it.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    with KedroSession.create(project, env=environment, runtime_params=dict(overrides or {})) as session:
        return session.load_context().catalog


def run_pipeline(name: str, catalog: "DataCatalog") -> None:
    """Run a pipeline on a catalog as `kedro run` does, without the hooks that write to MLflow."""
    from kedro.framework.project import pipelines
    from kedro.runner import SequentialRunner

    SequentialRunner().run(pipelines[name], catalog)


def make_model(catalog: "DataCatalog", vocabulary_size: int) -> "MiniGPT":
    """Make a model with fresh weights, on the device of the catalog's `compute`."""
    import keras

    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.mini_gpt import create_model

    configure_compute(catalog.load("compute"))
    keras.utils.set_random_seed(catalog.load("params:training").seed)
    return create_model(catalog.load("params:model"), vocabulary_size)


def make_step(catalog: "DataCatalog", model: "MiniGPT") -> "Step":
    """Compile the step of the training loop, for the model as the catalog's `compute` says."""
    from minigpt_pipeline.model.training_step import compile_step, make_optimizer

    compute, training = catalog.load("compute"), catalog.load("params:training")
    trained = model if compute.precision == "float32" else model.in_precision(compute.precision)
    optimizer = make_optimizer(training.optimizer, compute.precision, training.max_steps or NEVER)
    return compile_step(trained, optimizer, (training.batch_size, model.sequence_length), xla=compute.xla)
