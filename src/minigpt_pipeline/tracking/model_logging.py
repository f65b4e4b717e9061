"""The trained model as an artifact that anyone can load without this checkout."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

PACKAGE_FOLDER = Path(__file__).parents[1]
MODEL_CODE = Path(__file__).with_name("generator_pyfunc.py")
MODEL_REQUIREMENTS = ("keras", "mlflow", "numpy", "pandas", "pyarrow", "pydantic", "tensorflow", "tokenizers")

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "prompt")]),
    outputs=Schema([ColSpec(DataType.string, "text"), ColSpec(DataType.string, "readable_text")]),
    params=ParamSchema(
        # As in conf/base/parameters_generation.yml: 40 tokens, each drawn from those with 95 % of the probability.
        [
            ParamSpec("max_new_tokens", DataType.long, 40),
            ParamSpec("temperature", DataType.double, 1.0),
            ParamSpec("top_k", DataType.long, 0),
            ParamSpec("top_p", DataType.double, 0.95),
            ParamSpec("min_p", DataType.double, 0.0),
            ParamSpec("repetition_penalty", DataType.double, 1.0),
            ParamSpec("no_repeat_ngram_size", DataType.long, 0),
            ParamSpec("stop_at_end_of_review", DataType.boolean, False),
            ParamSpec("seed", DataType.long, 42),
        ]
    ),
)


def log_model(trained_model: Path) -> None:
    """Log a `trained_model.keras` to the open run as the pyfunc `model`."""
    mlflow.pyfunc.log_model(name="model", **_describe_model(trained_model))


def pack_model(trained_model: Path, folder: Path) -> None:
    """Write what `log_model` would log of a `trained_model.keras` to a new folder."""
    mlflow.pyfunc.save_model(str(folder), **_describe_model(trained_model))


def _describe_model(trained_model: Path) -> dict[str, Any]:
    """Let the package travel with a model, and name the requirements: MLflow takes 20 seconds to infer them."""
    return {
        "python_model": str(MODEL_CODE),
        "artifacts": {"trained_model": str(trained_model)},
        "code_paths": [str(PACKAGE_FOLDER)],
        "signature": SIGNATURE,
        "pip_requirements": [f"{name}=={version(name)}" for name in MODEL_REQUIREMENTS],
    }
