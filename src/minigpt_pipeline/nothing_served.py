"""`kedro run --pipelines monitoring` where there is nothing to measure: no session, and no run in MLflow each hour."""

import logging
from typing import Any

from kedro.framework.session import KedroSession

logger = logging.getLogger(__name__)

MONITORING = "monitoring"


def is_nothing_served(options: dict[str, Any]) -> bool:
    """Whether only `monitoring` is asked for and its window is empty; a line says so.

    Args:
        options: Of `kedro run`, by the names of its function.
    """
    if {*options["pipelines"], options["pipeline"]} - {None} != {MONITORING}:
        return False
    with KedroSession.create(
        env=options["env"], conf_source=options["conf_source"], runtime_params=options["params"]
    ) as session:
        context = session.load_context()
        hours = context.params[MONITORING].window_hours
        served = context.catalog.load("served_texts")
    if served.has_any(hours):
        return False
    window = "" if hours is None else f" in the last {hours:g} hours"
    logger.info(
        "Nothing was served%s by models trained on %s: there is nothing to report", window, served.data
    )
    return True
