"""The page tells every parameter in which `base` differs from the published example, with both values."""

import re
from pathlib import Path

import pytest

from benchmarks.project import open_catalog
from minigpt_pipeline.tracking.flat_parameters import flatten_parameters

PROJECT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `((?:model|training|compute|generation)\.[\w.]+)` \| (\S+) \| (\S+) \|", re.MULTILINE)


def read_parameters(environment: str) -> dict[str, str]:
    catalog = open_catalog(environment, {}, PROJECT)
    parameters = flatten_parameters("compute", catalog.load("compute"))
    for name in ("ingestion", "validation", "vectorization", "model", "training", "generation", "evaluation"):
        parameters |= flatten_parameters(name, catalog.load(f"params:{name}"))
    return parameters


@pytest.mark.slow
def test_the_table_is_of_the_configuration() -> None:
    page = (PROJECT / "docs/keras_example.md").read_text(encoding="utf-8")
    told = {name: (theirs, ours) for name, theirs, ours in ROW.findall(page)}
    theirs, ours = (read_parameters(environment) for environment in ("keras_example", "base"))

    assert told == {
        name: (theirs[name], ours[name]) for name in theirs.keys() | ours.keys() if theirs[name] != ours[name]
    }
