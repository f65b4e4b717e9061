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
from minigpt_pipeline.tracking.lineage import Lineage, read_known_lineage

ALWAYS = "always"
"""Tag of a node that is due whatever is saved."""

NODE, VERSION = "node", "version"
OF_ALL = {NODE, VERSION}
"""What of an origin is no input."""

NUM_REASONS = 3
"""Of a node, that are told."""


@dataclass(frozen=True)
class DueNode:
    """A node that has something to do.

    Args:
        name: Of the node.
        reason: Why, in words for a person: `train_token_ids has changed`.
        follows: Whether it is due only because a node before it is.
    """

    name: str
    reason: str
    follows: bool


def find_due_nodes(pipeline: Pipeline, catalog: DataCatalog) -> list[DueNode]:
    """Return the nodes that are to run, in an order in which they can.

    A node is due where one of its files is not there, or has another key than it will have, or one of its inputs has
    news (a method of its dataset). One that saves no file is due where somebody needs what it makes, or, if nobody
    reads that, where something that it reads is made anew.

    Args:
        pipeline: Nodes and what they read and make.
        catalog: Where that lies, and the parameters.
    """
    keys = {name: lineage.key for name, lineage in _read_lineages(pipeline.inputs(), catalog) if lineage.key}
    due: dict[str, DueNode] = {}
    made_anew: set[str] = set()
    for node in pipeline.nodes:
        origin = describe_origin(node, catalog, keys)
        keys |= dict.fromkeys(node.outputs, make_key(origin))
        anew = made_anew & set(node.inputs)
        reasons = list(_find_reasons(node, catalog, origin))
        own = [reason for name, reason in reasons if not anew or name in origin.keys() - anew - OF_ALL]
        if reasons:
            due[node.name] = DueNode(node.name, _join(own or [reason for _, reason in reasons]), not own)
        if reasons or (anew and not any(find_path(catalog.get(name)) for name in node.outputs)):
            made_anew |= set(node.outputs)
    while followers := _find_followers(pipeline.nodes, catalog, due):
        due |= followers
    return [due[node.name] for node in pipeline.nodes if node.name in due]


def find_newest_cycle(pipeline: Pipeline, catalog: DataCatalog) -> str | None:
    """Return the last cycle in which one of the outputs of a pipeline was made; None where none is there."""
    return max(
        (lineage.cycle for _, lineage in _read_lineages(pipeline.all_outputs(), catalog)), default=None
    )


def _read_lineages(names: set[str], catalog: DataCatalog) -> Iterator[tuple[str, Lineage]]:
    for name in names:
        path = find_path(catalog.get(name))
        if path and (lineage := read_known_lineage(path)):
            yield name, lineage


def _find_reasons(node: Node, catalog: DataCatalog, origin: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Say why a node is due, as far as its own files tell: what has changed, and that in words.

    The first file that is not as it should be tells.
    """
    if ALWAYS in node.tags:
        yield ALWAYS, "it runs each time"
        return
    for name in node.inputs:
        news = getattr(catalog.get(name), "news", None)
        if news is not None and (reason := news()):
            yield name, reason
    for name in node.outputs:
        path = find_path(catalog.get(name))
        lineage = read_known_lineage(path) if path else None
        if path is None or (lineage and lineage.key == make_key(origin)):
            continue
        if not path.exists():
            yield name, f"{name} is not there"
        elif lineage is None or lineage.key is None:
            yield name, f"how {name} was made is not known"
        else:
            yield from _list_changes(node, catalog, lineage, origin)
        return


def _list_changes(
    node: Node, catalog: DataCatalog, lineage: Lineage, origin: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    before = lineage.made_of
    for name in sorted(origin.keys() | before.keys()):
        if origin.get(name) == before.get(name):
            continue
        if name == NODE:
            yield name, f"its outputs are those of {before.get(name)}"
        elif name == VERSION:
            yield name, f"the code is version {origin[name]}, it was {before.get(name)}"
        elif name in before and name in node.inputs and is_parameter(name, catalog.get(name)):
            for change in _describe_changed_parameters(name, catalog, lineage):
                yield name, change
        else:
            yield name, f"{name} has changed"


def _describe_changed_parameters(name: str, catalog: DataCatalog, lineage: Lineage) -> list[str]:
    now = flatten_parameters(name.removeprefix("params:"), catalog.load(name))
    before = lineage.parameters
    changed = [field for field, value in now.items() if before.get(field) != value]
    # None where a field is gone, or where what differs lies behind the length that is kept of a value.
    return [f"{field} is {now[field]}, it was {before.get(field, 'not set')}" for field in changed] or [
        f"{name} has changed"
    ]


def _join(reasons: Sequence[str]) -> str:
    more = len(reasons) - NUM_REASONS
    return ", ".join(reasons[:NUM_REASONS]) + (f", and {more} more" if more > 0 else "")


def _find_followers(
    nodes: Sequence[Node], catalog: DataCatalog, due: Mapping[str, DueNode]
) -> dict[str, DueNode]:
    """Return nodes that are due because others are."""
    due_nodes = [node for node in nodes if node.name in due]
    needed = {
        name: node.name for node in due_nodes for name in node.inputs if find_path(catalog.get(name)) is None
    }
    made_anew = {name for node in due_nodes for name in node.outputs}
    read = {name for node in nodes for name in node.inputs}
    followers: dict[str, DueNode] = {}
    for node in nodes:
        if node.name in due:
            continue
        nobody_reads_it = not any(name in read or find_path(catalog.get(name)) for name in node.outputs)
        reasons = [
            f"{needed[name]} needs {name}, which no file keeps" for name in node.outputs if name in needed
        ] + [f"{name} is made anew" for name in node.inputs if name in made_anew and nobody_reads_it]
        if reasons:
            followers[node.name] = DueNode(node.name, _join(reasons), follows=True)
    return followers
