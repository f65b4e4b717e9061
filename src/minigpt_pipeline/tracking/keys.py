"""What the outputs of a node follow from, in one digest: a node that would make the same has nothing to do.

A key holds the version of the package, the name of the node, the values of its parameters, and of each other input its
key or digest. Places, times, ids of runs and names of cycles have no part in it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline.node import Node
from pydantic import BaseModel

from minigpt_pipeline import __version__
from minigpt_pipeline.files import DIGEST_LENGTH, digest_file


def describe_origin(
    node: Node, catalog: DataCatalog, keys: Mapping[str, str], inputs: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return all that decides what comes of a node.

    Sinks and what else has neither key nor digest are left out: `training_log`, `checkpoints`, `champion`.

    Args:
        node: About to run, or to be planned.
        catalog: Where its inputs lie.
        keys: Of its inputs, as far as they have one.
        inputs: Its parameters, if they are loaded.

    Returns:
        `node`, `version`, and a digest for each input by its name.
    """
    load = catalog.load if inputs is None else inputs.__getitem__
    digests = {
        name: digest_json(_to_json(load(name)))
        if is_parameter(name, catalog.get(name))
        else _digest_data(catalog.get(name), keys.get(name))
        for name in sorted(set(node.inputs))
    }
    return {"node": node.name, "version": __version__} | {
        name: digest for name, digest in digests.items() if digest is not None
    }


def make_key(origin: Mapping[str, str]) -> str:
    """Return the key of what follows from an origin."""
    return digest_json(origin)


def _digest_data(dataset: object, key: str | None) -> str | None:
    if hasattr(dataset, "digest"):
        digest: str = dataset.digest()
        return digest
    path = find_path(dataset)
    return key or (digest_file(path) if path and path.is_file() else None)


def _to_json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def is_parameter(name: str, dataset: object) -> bool:
    """Whether an input of a node is a parameter, or an entry of the catalog that holds settings."""
    return name.startswith("params:") or find_log_as(dataset) == "parameters"


def find_log_as(dataset: object) -> str | None:
    """Return how the catalog says that a dataset is logged to MLflow; None where it is not."""
    metadata = getattr(dataset, "metadata", None) or {}
    log_as: str | None = metadata.get("mlflow", {}).get("log_as")
    return log_as


def find_path(dataset: object) -> Path | None:
    """Return where a dataset lies; None for one that is in memory, or no file."""
    path = getattr(dataset, "filepath", None)
    return Path(path) if path else None


def digest_json(value: Any) -> str:
    """Return the digest of what JSON can hold."""
    content = json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
