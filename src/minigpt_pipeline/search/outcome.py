"""What a search has found, as tables and as parameters to train with."""

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from minigpt_pipeline.parameters import SweepParameters
from minigpt_pipeline.search.search import LOOKS, SECONDS
from minigpt_pipeline.search.space import nest
from minigpt_pipeline.search.study_store import REASON, REFUSED, RETRIES

if TYPE_CHECKING:
    from optuna import Study

TRIAL_TYPES = {
    "trial": "int64",
    "state": "str",
    "loss": "float64",
    "seconds": "float64",
    "reason": "str",
    "retries": "Int64",
}
LOOK_TYPES = {"trial": "int64", "step": "int64", "words": "int64", "seconds": "float64", "loss": "float64"}


class NoTrialError(RuntimeError):
    """Not one trial was trained to its end."""


def tabulate_trials(study: "Study", sweep: SweepParameters) -> pd.DataFrame:
    """Return a row a trial.

    Returns:
        `trial` (its number), `state` (`complete`, `pruned`, `refused`, `fail` or `waiting`), `loss` (the lowest on the
        validation films, nats per word; of a trial that was not trained to its end up to there), `seconds`, `reason`
        (why it ended before, or empty), `retries` (number of the trial that it repeats, Int64), and a column for each
        parameter that varies, its value as JSON (empty where it has none).
    """
    rows = [
        {
            "trial": trial.number,
            "state": "refused" if trial.user_attrs.get(REFUSED) else trial.state.name.lower(),
            "loss": min([look[-1] for look in trial.user_attrs.get(LOOKS, ())], default=None),
            "seconds": trial.user_attrs.get(SECONDS),
            "reason": trial.user_attrs.get(REASON, ""),
            "retries": trial.user_attrs.get(RETRIES),
        }
        | {
            parameter.name: json.dumps(trial.params[parameter.name]) if parameter.name in trial.params else ""
            for parameter in sweep.space
        }
        for trial in study.get_trials()
    ]
    types = TRIAL_TYPES | {parameter.name: "str" for parameter in sweep.space}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def tabulate_looks(study: "Study") -> pd.DataFrame:
    """Return a row for each look of a trial at the validation films; see `Look`."""
    rows = [(trial.number, *look) for trial in study.get_trials() for look in trial.user_attrs.get(LOOKS, ())]
    return pd.DataFrame(rows, columns=list(LOOK_TYPES)).astype(LOOK_TYPES)


def describe_best(study: "Study", environment: str) -> str:
    """Return the parameters of the best trial as YAML, for a file of `conf/` or for `--params`.

    Args:
        study: The trials.
        environment: In which they were trained; what the space does not name is configured there.

    Raises:
        NoTrialError: If no trial was trained to its end; the message says what became of them.
    """
    import yaml
    from optuna.trial import TrialState

    if not study.get_trials(states=(TrialState.COMPLETE,)):
        reasons = [trial.user_attrs[REASON] for trial in study.get_trials() if REASON in trial.user_attrs]
        raise NoTrialError(
            f"None of {len(study.get_trials())} trials was trained to its end ({'; '.join(reasons[:3]) or 'no time'}): "
            "give the search more minutes, or change its space, in conf/base/parameters_sweep.yml"
        )
    best = study.best_trial
    values: dict[str, Any] = best.params
    arguments = ",".join(f"{name}={_write(value)}" for name, value in values.items())
    return (
        f"# Trial {best.number}: validation loss {best.value:.4f} nats per word.\n"
        f"# kedro run --env {environment} --params {arguments}\n{yaml.safe_dump(nest(values), sort_keys=False)}"
    )


def _write(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
