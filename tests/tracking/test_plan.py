"""What is due for a small pipeline whose files are all there, after one thing was touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.datasets import JsonDataset
from minigpt_pipeline.parameters import SplitParameters
from minigpt_pipeline.tracking import keys, plan
from minigpt_pipeline.tracking.flat_parameters import flatten_parameters
from minigpt_pipeline.tracking.keys import describe_origin, make_key
from minigpt_pipeline.tracking.lineage import Lineage, lineage_path, read_lineage, write_lineage
from minigpt_pipeline.tracking.plan import find_due_nodes, find_newest_cycle

SPLIT = SplitParameters(train=0.5, validation=0.25, test=0.25)


def work(*_: Any) -> None:
    """Nothing here is run."""


PIPELINE = Pipeline(
    [
        Node(work, inputs=["archive", "list"], outputs="raw", name="read"),
        Node(work, inputs=["raw", "params:split"], outputs=["checked", "report"], name="check"),
        Node(work, inputs="checked", outputs="reviews", name="accept"),
        Node(work, inputs=["reviews", "sink", "settings"], outputs=["model", "history"], name="train"),
        Node(work, inputs=["model", "sink"], outputs=None, name="tidy"),
        Node(work, inputs="history", outputs="drawn", name="draw"),
        Node(work, inputs="drawn", outputs="plot", name="save_plot"),
        Node(work, inputs="report", outputs="mail", name="tell"),
    ]
)
FILES = ("list", "raw", "report", "reviews", "model", "history", "plot")


class Archive(MemoryDataset):
    def digest(self) -> str:
        return str(self.load())


def make_settings(values: dict[str, Any]) -> MemoryDataset:
    """An entry as `compute` is one."""
    return MemoryDataset(values, metadata={"mlflow": {"log_as": "parameters"}})


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    catalog = make_catalog(tmp_path)
    save_all(catalog)
    return catalog


def make_catalog(folder: Path, **changes: AbstractDataset[Any, Any]) -> DataCatalog:
    files = {name: JsonDataset(filepath=str(folder / f"{name}.json")) for name in FILES}
    others = {
        "archive": Archive("one"),
        "params:split": MemoryDataset(SPLIT),
        "sink": MemoryDataset(),
        "settings": make_settings({"device": "cpu"}),
    }
    return DataCatalog(files | others | changes)


def save_all(catalog: DataCatalog) -> None:
    """Leave files and lineages as a run does."""
    made: dict[str, str] = {}
    catalog["list"].save({"films": 1})
    for node in PIPELINE.nodes:
        origin = describe_origin(node, catalog, made)
        made |= dict.fromkeys(node.outputs, make_key(origin))
        parameters = flatten_parameters("split", SPLIT) | {"settings.device": "cpu"}
        for name in set(node.outputs) & set(FILES):
            catalog[name].save({"by": node.name})
            write_lineage(
                catalog[name].filepath, Lineage("20261126", None, parameters, make_key(origin), origin)
            )


def find_names(catalog: DataCatalog) -> set[str]:
    return {node.name for node in find_due_nodes(PIPELINE, catalog)}


def find_reasons(catalog: DataCatalog) -> dict[str, str]:
    return {node.name: node.reason for node in find_due_nodes(PIPELINE, catalog) if not node.follows}


BEHIND_TRAIN = {"train", "tidy", "draw", "save_plot"}
BEHIND_CHECK = {"check", "accept", "tell"} | BEHIND_TRAIN


def test_nothing_is_due_where_all_is_as_it_would_be_made(catalog: DataCatalog) -> None:
    assert find_due_nodes(PIPELINE, catalog) == []
    assert find_newest_cycle(PIPELINE, catalog) == "20261126"


def test_everything_is_due_where_nothing_is_there(tmp_path: Path) -> None:
    catalog = make_catalog(tmp_path)

    due = find_due_nodes(PIPELINE, catalog)

    assert [node.name for node in due] == [node.name for node in PIPELINE.nodes]
    assert find_reasons(catalog) == {"read": "raw is not there"}
    assert find_newest_cycle(PIPELINE, catalog) is None


@pytest.mark.parametrize(
    ("changes", "names", "reasons"),
    [
        ({"archive": Archive("two")}, {"read"} | BEHIND_CHECK, {"read": "archive has changed"}),
        (
            {"params:split": MemoryDataset(SPLIT.model_copy(update={"train": 0.6, "test": 0.15}))},
            BEHIND_CHECK,
            {"check": "split.train is 0.6, it was 0.5, split.test is 0.15, it was 0.25"},
        ),
        (
            {"settings": make_settings({"device": "gpu"})},
            BEHIND_TRAIN,
            {"train": "settings.device is gpu, it was cpu"},
        ),
        ({"settings": make_settings({})}, BEHIND_TRAIN, {"train": "settings has changed"}),
        ({"sink": MemoryDataset("other")}, set(), {}),
    ],
    ids=["digest", "parameter", "setting", "parameter that is gone", "sink"],
)
def test_what_follows_from_a_change_is_due(
    catalog: DataCatalog, tmp_path: Path, changes: dict[str, Any], names: set[str], reasons: dict[str, str]
) -> None:
    changed = make_catalog(tmp_path, **changes)

    assert find_names(changed) == names
    assert find_reasons(changed) == reasons


def test_a_file_that_nobody_of_ours_made_is_known_by_its_content(catalog: DataCatalog) -> None:
    catalog["list"].save({"films": 2})

    assert find_reasons(catalog) == {"read": "list has changed"}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("raw", {"read"}),
        ("report", {"check", "tell"}),
        ("reviews", {"check", "accept", "tell"}),  # it comes from what is only in memory
        ("model", {"train", "tidy"}),
        ("plot", {"draw", "save_plot"}),
    ],
)
def test_a_file_that_is_gone_is_made_again_and_nothing_behind_it(
    catalog: DataCatalog, name: str, names: set[str]
) -> None:
    catalog[name].filepath.unlink()

    due = {node.name: node.reason for node in find_due_nodes(PIPELINE, catalog)}

    assert f"{name} is not there" in due.values()
    assert {key for key in due if key not in {"draw", "save_plot"}} == names - {"draw", "save_plot"}


def test_the_reason_of_a_node_that_follows_names_what_it_follows(catalog: DataCatalog) -> None:
    catalog["plot"].filepath.unlink()

    draw, save_plot = find_due_nodes(PIPELINE, catalog)

    assert (draw.follows, draw.reason) == (True, "save_plot needs drawn, which no file keeps")
    assert (save_plot.follows, save_plot.reason) == (False, "plot is not there")


def forget_key(path: Path) -> None:
    lineage = read_lineage(path)
    assert lineage is not None
    write_lineage(path, Lineage(lineage.cycle))


@pytest.mark.parametrize("change", [forget_key, lambda path: lineage_path(path).unlink()])
def test_a_file_of_unknown_origin_is_made_again(catalog: DataCatalog, change: Callable[[Path], None]) -> None:
    change(catalog["reviews"].filepath)

    assert find_reasons(catalog) == {"accept": "how reviews was made is not known"}


def test_other_code_makes_everything_again(catalog: DataCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.__version__
    monkeypatch.setattr(keys, "__version__", "99.0")

    assert find_names(catalog) == {node.name for node in PIPELINE.nodes}
    assert find_reasons(catalog) == {"read": f"the code is version 99.0, it was {before}"}


def test_outputs_of_another_node_are_made_again(catalog: DataCatalog) -> None:
    renamed = Node(work, inputs=["reviews", "sink", "settings"], outputs=["model", "history"], name="tune")

    (due,) = find_due_nodes(Pipeline([renamed]), catalog)

    assert due.reason == "its outputs are those of train"


def test_a_node_may_run_each_time(catalog: DataCatalog) -> None:
    watch = Node(work, inputs="model", outputs="seen", name="watch", tags=plan.ALWAYS)

    due = find_due_nodes(PIPELINE + Pipeline([watch]), catalog)

    assert [(node.name, node.reason) for node in due] == [("watch", "it runs each time")]


def test_many_reasons_are_told_in_part(catalog: DataCatalog, tmp_path: Path) -> None:
    settings = make_settings(dict.fromkeys("abcdef", 1))

    reasons = find_reasons(make_catalog(tmp_path, settings=settings))

    assert reasons["train"].endswith("settings.c is 1, it was not set, and 3 more")
