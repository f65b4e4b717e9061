"""Parameters in MLflow: one entry a field."""

import logging
from collections.abc import Mapping

import mlflow

logger = logging.getLogger(__name__)

LAST = "last."
"""Before the name of a parameter, the tag that tells its last value; see `log_parameters`."""
MEASURING = ("evaluation.", "generation.")
"""Groups of parameters whose last values are behind a run's figures; the first ones of all others made its model."""


def log_parameters(parameters: dict[str, str]) -> None:
    """Log parameters to the open run.

    A run's parameters can't be changed. Where a pipeline is started again for the same model with another value, as by
    `--params generation.sampling.temperature=0.5`, the run keeps the first value and a tag tells the last.
    """
    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("No MLflow run is open")
    data = mlflow.get_run(run.info.run_id).data
    logged, last = data.params, _find_last_values(data.tags)
    for name, text in parameters.items():
        if logged.get(name, text) != text:
            logger.warning(
                "The run has %s=%s and keeps it; the tag %s%s tells %s", name, logged[name], LAST, name, text
            )
    # A value that comes back is the last one too, though it is the first.
    changed = {
        name: text for name, text in parameters.items() if last.get(name, logged.get(name, text)) != text
    }
    mlflow.set_tags({f"{LAST}{name}": text for name, text in changed.items()})
    mlflow.log_params({name: text for name, text in parameters.items() if name not in logged})


def read_parameters(parameters: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that made a run's model, and those that its figures were last measured with.

    Args:
        parameters: Of the run.
        tags: Of the run.
    """
    last = _find_last_values(tags)
    return dict(parameters) | {name: text for name, text in last.items() if name.startswith(MEASURING)}


def _find_last_values(tags: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(LAST): text for name, text in tags.items() if name.startswith(LAST)}
