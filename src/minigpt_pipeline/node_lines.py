"""A line in the terminal for each node that has run."""

import logging
import time

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


class NodeLines:
    """Says which node has run, how long it took, and how many there are; Kedro says the first and last in two lines."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Count the nodes."""
        self._number, self._count = 0, len(pipeline.nodes)

    @hook_impl
    def before_node_run(self) -> None:
        """Look at the clock."""
        self._started = time.monotonic()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Log the line; what it saves is saved by then."""
        self._number += 1
        seconds = time.monotonic() - self._started
        logger.info("%d of %d: %s, %s", self._number, self._count, node.name, describe_seconds(seconds))


def describe_seconds(seconds: float) -> str:
    """Return a duration as people say it, `0.4 s` or `12:05 min`."""
    if seconds < 60:  # noqa: PLR2004 -- seconds of a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min"
