from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node

from minigpt_pipeline.datasets import ComputeDataset, JsonDataset
from minigpt_pipeline.parameters import RetrainingParameters
from minigpt_pipeline.tracking.keys import describe_origin, make_key

COMPUTE = {"device": "cpu", "precision": "float32", "memory_growth": True, "deterministic": True}
AS_PARAMETERS = {"mlflow": {"log_as": "parameters"}}


def work(*_: Any) -> None:
    """Nothing here is run."""


NODE = Node(work, inputs=["params:retraining", "compute", "made", "given", "sink"], outputs="x", name="work")


def make_catalog(folder: Path, warm_start: bool = False, **compute: Any) -> DataCatalog:
    for name in ("made", "given"):
        JsonDataset(filepath=str(folder / name)).save({"name": name})
    return DataCatalog(
        {
            "params:retraining": MemoryDataset(
                RetrainingParameters(refresh_vocabulary=False, warm_start=warm_start)
            ),
            "compute": ComputeDataset(metadata=AS_PARAMETERS, **COMPUTE | compute),
            "sink": MemoryDataset(object()),
            **{name: JsonDataset(filepath=str(folder / name)) for name in ("made", "given")},
        }
    )


@pytest.fixture
def origin(tmp_path: Path) -> dict[str, str]:
    return describe_origin(NODE, make_catalog(tmp_path), {"made": "key"})


def test_an_origin_has_node_version_and_all_that_the_node_takes_but_sinks(origin: dict[str, str]) -> None:
    assert origin.keys() == {"node", "version", "params:retraining", "compute", "made", "given"}
    assert (origin["node"], origin["made"]) == ("work", "key")


def test_places_have_no_part_in_it(origin: dict[str, str], tmp_path: Path) -> None:
    elsewhere = describe_origin(NODE, make_catalog(tmp_path / "elsewhere"), {"made": "key"})

    assert make_key(elsewhere) == make_key(origin)


@pytest.mark.parametrize(
    ("changes", "keys", "differs"),
    [
        ({"warm_start": True}, {"made": "key"}, {"params:retraining"}),
        ({"device": "auto"}, {"made": "key"}, {"compute"}),
        ({}, {"made": "other"}, {"made"}),
        ({}, {}, {"made"}),
    ],
)
def test_a_change_gives_another_key(
    origin: dict[str, str], tmp_path: Path, changes: dict[str, Any], keys: dict[str, str], differs: set[str]
) -> None:
    changed = describe_origin(NODE, make_catalog(tmp_path, **changes), keys)

    assert {name for name in origin if changed[name] != origin[name]} == differs
    assert make_key(changed) != make_key(origin)
