"""The trained model as an artifact that anyone can load without this checkout."""

from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

PACKAGE_FOLDER = Path(__file__).parents[1]
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
    """Log a `trained_model.keras` to the open run as the pyfunc `model`.

    The package travels with it, and the requirements are named: MLflow takes 20 seconds to infer them.
    """
    mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("generator_pyfunc.py")),
        artifacts={"trained_model": str(trained_model)},
        code_paths=[str(PACKAGE_FOLDER)],
        signature=SIGNATURE,
        pip_requirements=[f"{name}=={version(name)}" for name in MODEL_REQUIREMENTS],
    )
