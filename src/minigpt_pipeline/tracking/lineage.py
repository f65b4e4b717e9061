"""Where a saved dataset comes from, in a small file beside it.

It is kept apart from the content, so that equal runs write equal content.
"""

import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kedro.io import DatasetError
from pydantic import TypeAdapter, ValidationError

from minigpt_pipeline.datasets.json_dataset import JsonDataset

CYCLE_VARIABLE = "MINIGPT_CYCLE"
"""Of the environment: the cycle of sessions that belong together; who starts them names it."""


@dataclass(frozen=True)
class Lineage:
    """What is handed on from dataset to dataset.

    Args:
        cycle: Names the ingestion that everything made from it carries on; later cycles sort behind earlier ones.
        run_id: The MLflow run of the model that the dataset holds or was made with; None for data.
        parameters: Every parameter that had a part in it, flattened: `vectorization.vocabulary_size` and its value.
        key: Tells it from what other inputs, parameters or code would have made; see `tracking.keys`. None where nobody
            knows: an older version of the project has made the file, or a process was killed while it saved it.
        made_of: What the key is the digest of.
    """

    cycle: str
    run_id: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    made_of: dict[str, str] = field(default_factory=dict)


def new_cycle() -> str:
    """Return the name of a new cycle, `20261123T201500Z-1f3a`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def lineage_path(filepath: Path) -> Path:
    """Return where the lineage of a file or folder lies."""
    return filepath.with_name(f"{filepath.name}.lineage.json")


def write_lineage(filepath: Path, lineage: Lineage) -> None:
    """Write the lineage of a dataset beside it."""
    JsonDataset(filepath=str(lineage_path(filepath))).save(asdict(lineage))


def read_lineage(filepath: Path) -> Lineage | None:
    """Return the lineage of a dataset; None where it has none, as a file that somebody put there by hand.

    Raises:
        DatasetError: If it is damaged, or another version of the project wrote it, and so the dataset.
    """
    dataset = JsonDataset(filepath=str(lineage_path(filepath)))
    if not (dataset.exists() and filepath.exists()):
        return None
    try:
        return TypeAdapter(Lineage).validate_python(dataset.load())
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise DatasetError(
            f"{lineage_path(filepath)} is no lineage ({told}): remove it, and run the pipeline that makes "
            f"{filepath.name}"
        ) from error


def read_known_lineage(filepath: Path) -> Lineage | None:
    """Return the lineage of a dataset that nobody is about to read; None also where it can't be read.

    What another version of the project has written stops no run that makes it again.
    """
    try:
        return read_lineage(filepath)
    except DatasetError:
        return None
