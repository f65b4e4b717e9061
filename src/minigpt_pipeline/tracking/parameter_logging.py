"""Parameters in MLflow: one entry a field."""

import json
import logging
from typing import Any

import mlflow
from pydantic import BaseModel

logger = logging.getLogger(__name__)

MAX_PARAMETER_LENGTH = 6000
"""Of a value, in characters: MLflow refuses longer ones."""


def flatten_parameters(name: str, value: Any) -> dict[str, str]:
    """Turn a parameter into one entry a field: `{"model.embed_dim": "256", ...}`.

    Args:
        name: Of the parameter; its fields' names are appended behind dots.
        value: A parameter model, or what YAML knows. Lists are written as JSON, null as `null`.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        fields = (flatten_parameters(f"{name}.{key}", field) for key, field in value.items())
        return {key: text for entries in fields for key, text in entries.items()}
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {name: text[:MAX_PARAMETER_LENGTH]}


def log_parameters(parameters: dict[str, str]) -> None:
    """Log parameters to the open run.

    A run's parameters can't be changed. Where a pipeline is started again for the same model with another value, as by
    `--params generation.sampling.temperature=0.5`, the run keeps the first value and a tag tells the last.
    """
    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("No MLflow run is open")
    logged = mlflow.get_run(run.info.run_id).data.params
    changed = {name: text for name, text in parameters.items() if logged.get(name, text) != text}
    for name, text in changed.items():
        logger.warning(
            "The run has %s=%s and keeps it; the tag last.%s tells %s", name, logged[name], name, text
        )
    mlflow.set_tags({f"last.{name}": text for name, text in changed.items()})
    mlflow.log_params({name: text for name, text in parameters.items() if name not in logged})
