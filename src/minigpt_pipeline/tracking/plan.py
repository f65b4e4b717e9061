"""Which nodes of a pipeline have something to do: those whose outputs would not be what is saved.

The plan is made before anything runs. So it follows the keys that outputs will have: a node behind one that is due is
due as well, unless what it reads will have the key that it had.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from minigpt_pipeline.tracking.flat_parameters import flatten_parameters
from minigpt_pipeline.tracking.keys import describe_origin, find_path, is_parameter, make_key
from minigpt_pipeline.tracking.lineage import Lineage, read_lineage

ALWAYS = "always"
"""Tag of a node that is due whatever is saved."""

NUM_CHANGES = 3
"""Of those that made a node due, as many are told."""


@dataclass(frozen=True)
class DueNode:
    """A node that has something to do.

    Args:
        name: Of the node.
        reason: Why, as words for a person: `train_token_ids has changed`.
    """

    name: str
    reason: str


def find_due_nodes(pipeline: Pipeline, catalog: DataCatalog) -> list[DueNode]:
    """Return the nodes that are to run, in an order in which they can.

    A node is due where one of its files is not there, or has another key than it will have. One that saves no file is
    due where somebody needs what it makes, or, if nobody reads that, where something that it reads is made anew.

    Args:
        pipeline: Nodes and what they read and make.
        catalog: Where that lies, and the parameters.
    """
    keys = _read_keys(pipeline.inputs(), catalog)
    reasons: dict[str, str] = {}
    for node in pipeline.nodes:
        origin = describe_origin(node, catalog, keys)
        keys |= dict.fromkeys(node.outputs, make_key(origin))
        if reason := _find_reason(node, catalog, origin):
            reasons[node.name] = reason
    while more := dict(_find_followers(pipeline.nodes, catalog, reasons)):
        reasons |= more
    return [DueNode(node.name, reasons[node.name]) for node in pipeline.nodes if node.name in reasons]


def find_newest_cycle(pipeline: Pipeline, catalog: DataCatalog) -> str | None:
    """Return the last cycle in which one of the outputs of a pipeline was made; None where none is there."""
    lineages = _read_lineages(pipeline.all_outputs(), catalog)
    return max((lineage.cycle for lineage in lineages.values()), default=None)


def _read_lineages(names: set[str], catalog: DataCatalog) -> dict[str, Lineage]:
    lineages = {name: read_lineage(path) for name in names if (path := find_path(catalog.get(name)))}
    return {name: lineage for name, lineage in lineages.items() if lineage}


def _read_keys(names: set[str], catalog: DataCatalog) -> dict[str, str]:
    lineages = _read_lineages(names, catalog)
    return {name: lineage.key for name, lineage in lineages.items() if lineage.key}


def _find_reason(node: Node, catalog: DataCatalog, origin: Mapping[str, str]) -> str:
    """Say why a node is due; empty where it is not, as far as its own files tell."""
    if ALWAYS in node.tags:
        return "it runs each time"
    for name in node.outputs:
        path = find_path(catalog.get(name))
        if path is None:
            continue
        if not path.exists():
            return f"{name} is not there"
        lineage = read_lineage(path)
        if lineage is None or lineage.key is None:
            return f"how {name} was made is not known"
        if lineage.key != make_key(origin):
            return _describe_changes(node, catalog, lineage, origin)
    return ""


def _describe_changes(node: Node, catalog: DataCatalog, lineage: Lineage, origin: Mapping[str, str]) -> str:
    changes = list(_list_changes(node, catalog, lineage, origin))
    more = len(changes) - NUM_CHANGES
    return ", ".join(changes[:NUM_CHANGES]) + (f", and {more} more" if more > 0 else "")


def _list_changes(
    node: Node, catalog: DataCatalog, lineage: Lineage, origin: Mapping[str, str]
) -> Iterator[str]:
    before = lineage.made_of
    for name in sorted(origin.keys() | before.keys()):
        if origin.get(name) == before.get(name):
            continue
        if name == "node":
            yield f"{before.get(name)} has made its outputs"
        elif name == "version":
            yield f"the code is version {origin[name]}, it was {before.get(name)}"
        elif name in before and name in node.inputs and is_parameter(name, catalog.get(name)):
            yield from _list_changed_parameters(name, catalog, lineage)
        else:
            yield f"{name} has changed"


def _list_changed_parameters(name: str, catalog: DataCatalog, lineage: Lineage) -> Iterator[str]:
    now = flatten_parameters(name.removeprefix("params:"), catalog.load(name))
    changed = {field: value for field, value in now.items() if lineage.parameters.get(field) != value}
    for field, value in changed.items():
        yield f"{field} is {value}, it was {lineage.parameters.get(field, 'not set')}"
    if not changed:  # a field is gone, or what differs lies behind the length that is kept of a value
        yield f"{name} has changed"


def _find_followers(
    nodes: Sequence[Node], catalog: DataCatalog, reasons: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Return nodes that are due because others are, with the reason."""
    due = [node for node in nodes if node.name in reasons]
    needed = {name: node.name for node in due for name in node.inputs if find_path(catalog.get(name)) is None}
    made = {name for node in due for name in node.outputs}
    read = {name for node in nodes for name in node.inputs}
    for node in nodes:
        if node.name in reasons:
            continue
        is_seen = any(find_path(catalog.get(name)) for name in node.outputs) or read & set(node.outputs)
        for name in [name for name in node.outputs if name in needed]:
            yield node.name, f"{needed[name]} needs {name}, which no file keeps"
        for name in [name for name in node.inputs if name in made and not is_seen]:
            yield node.name, f"{name} is made anew"
