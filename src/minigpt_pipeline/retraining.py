"""`kedro run --pipelines retraining`: take in what is new, and make only that again which follows from a change."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession

from minigpt_pipeline.tracking.lineage import CYCLE_VARIABLE, new_cycle
from minigpt_pipeline.tracking.plan import find_due_nodes, find_newest_cycle

logger = logging.getLogger(__name__)

RETRAINING = "retraining"
INCOMING = "incoming"

NARROWING = (
    "tags",
    "node_names",
    "to_nodes",
    "from_nodes",
    "from_inputs",
    "to_outputs",
    "namespaces",
    "only_missing_outputs",
)
"""Options of `kedro run` with which a user says which nodes shall run."""


def is_retraining(options: dict[str, Any]) -> bool:
    """Whether a `kedro run` is a whole retraining, and not some nodes of it that a user has chosen.

    Args:
        options: Of `kedro run`, by the names of its function.

    Raises:
        ValueError: If another pipeline is asked for as well.
    """
    asked = {*options["pipelines"], options["pipeline"]} - {None}
    if RETRAINING not in asked:
        return False
    if others := ", ".join(sorted(asked - {RETRAINING})):
        raise ValueError(f"`retraining` runs alone, not together with {others}: run one after the other")
    return not any(options[name] for name in NARROWING)


def retrain(run: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Take in what is new, then run the nodes that are due, both in one cycle.

    They are two sessions, so that the plan knows what was taken in, and the second opens the MLflow run that the nodes
    that are due belong to.

    Args:
        run: Kedro's.
        options: Of `kedro run`, by the names of its function.

    Returns:
        What the last session returns; null where nothing was due.
    """
    with _one_cycle():
        run(**options | {"pipelines": [INCOMING], "pipeline": None})
        names = plan(options)
        return run(**options | {"node_names": names}) if names else None


def plan(options: dict[str, Any]) -> list[str]:
    """Return the names of the nodes that are due, and say why they are.

    Args:
        options: Of `kedro run`, by the names of its function.
    """
    with KedroSession.create(
        env=options["env"], conf_source=options["conf_source"], runtime_params=options["params"]
    ) as session:
        catalog = session.load_context().catalog
    pipeline = pipelines[RETRAINING] - pipelines[INCOMING]
    due = find_due_nodes(pipeline, catalog)
    if not due:
        cycle = find_newest_cycle(pipeline, catalog)
        logger.info("Nothing has changed since the cycle %s, and nothing is done", cycle)
        return []
    logger.info("%d of %d nodes are due", len(due), len(pipeline.nodes))
    for node in due:
        if not node.follows:
            logger.info("Due: %s: %s", node.name, node.reason)
    if followers := [node.name for node in due if node.follows]:
        logger.info("Due behind them: %s", ", ".join(followers))
    return [node.name for node in due]


@contextmanager
def _one_cycle() -> Iterator[None]:
    """Name one cycle for all sessions, unless whoever has started this process has named it."""
    if os.environ.get(CYCLE_VARIABLE):
        yield
        return
    os.environ[CYCLE_VARIABLE] = new_cycle()
    try:
        yield
    finally:
        del os.environ[CYCLE_VARIABLE]
