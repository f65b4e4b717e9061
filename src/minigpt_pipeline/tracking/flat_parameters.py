"""Parameters as MLflow and lineages hold them: one entry a field."""

import json
from typing import Any

from pydantic import BaseModel

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
