"""Saved datasets in MLflow, as `metadata.mlflow` of their catalog entries says.

`log_as: metrics` takes a mapping of names to numbers, `artifact` the file or folder (`folder`: where in the run),
`samples` the rows of generated texts, `table` those of any other table as CSV, which MLflow's pages show (`file`: where
in the run), `model` the trained model, `parameters` settings, and `dataset` the data that a model was trained or
measured on.
"""

from pathlib import Path
from typing import Any

import mlflow
from kedro.io import AbstractDataset
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset

from minigpt_pipeline.files import digest_file
from minigpt_pipeline.tracking.model_logging import log_model
from minigpt_pipeline.tracking.training_log import append_samples


def log_dataset(dataset: AbstractDataset[Any, Any]) -> None:
    """Log a dataset that has been saved to the open run."""
    settings = (getattr(dataset, "metadata", None) or {}).get("mlflow", {})
    path = Path(dataset.filepath)
    match settings.get("log_as"):
        case "metrics":
            mlflow.log_metrics(dataset.load())
        case "artifact" if path.is_dir():
            mlflow.log_artifacts(str(path), f"{settings['folder']}/{path.name}")
        case "artifact":
            mlflow.log_artifact(str(path), settings["folder"])
        case "samples":
            append_samples(dataset.load().to_dict(orient="records"))
        case "table":
            mlflow.log_text(dataset.load().to_csv(index=False), settings["file"])
        case "model":
            trained_model = dataset.load()
            mlflow.set_tags({name: str(value) for name, value in trained_model.metadata.items()})
            log_model(path)


def log_input(name: str, dataset: AbstractDataset[Any, Any]) -> None:
    """Name the data that a model is trained or measured on in the open run, by its digest."""
    path = Path(dataset.filepath)
    context = dataset.metadata["mlflow"]["context"]
    digest = digest_file(path)
    source = resolve_dataset_source(str(path))
    mlflow.log_input(MetaDataset(source, name=name, digest=digest), context=context)
    if context == "training":
        mlflow.set_tag("data_digest", digest)
