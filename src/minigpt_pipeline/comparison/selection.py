"""Which runs are meant by what a person writes."""

import re
import shlex
from collections.abc import Sequence

from minigpt_pipeline.comparison.model_run import RunSummary

NEWEST = re.compile(r"last(?:-(?P<number>[1-9]\d*))?")
SHORT_ID = 8
"""Digits of an id that are shown; as good as always they are enough."""
MAX_LISTED = 8


class RunSelectionError(ValueError):
    """What was asked for is no run, or more than one."""


def choose_runs(wanted: str, runs: Sequence[RunSummary], store: str) -> list[RunSummary]:
    """Find runs by their ids, the beginnings of ids, their names, or their age.

    Args:
        wanted: Words between spaces; a name with spaces stands in quotes. `last` is the newest finished run, `last-3`
            are the newest three, the oldest of them first.
        runs: Runs of models, the newest first.
        store: Where they are, for messages.

    Returns:
        The runs in the order in which they were named, none of them twice.

    Raises:
        RunSelectionError: If a word fits no run, or the beginning of an id or a name fits several.
    """
    if not runs:
        raise RunSelectionError(
            f"The MLflow store {store} has no run of a model: train one with `make run`, "
            "or set MLFLOW_TRACKING_URI to the store that has some"
        )
    try:
        words = shlex.split(wanted)
    except ValueError as error:
        raise RunSelectionError(
            f"comparison.runs={wanted!r} can't be read ({error}): close the quotes"
        ) from error
    if not words:
        raise RunSelectionError(
            f"comparison.runs={wanted!r} names no run. {_list(runs)}: name one, or take `last-2`"
        )
    found = {run.run_id: run for word in words for run in _find(word, runs, store)}
    return list(found.values())


def _find(word: str, runs: Sequence[RunSummary], store: str) -> list[RunSummary]:
    if newest := NEWEST.fullmatch(word):
        finished = [run for run in runs if run.status == "FINISHED"]
        if not finished:
            raise RunSelectionError(
                f"{word!r} means finished runs, and no run of a model in {store} has finished. "
                f"{_list(runs)}: name one of them by its id"
            )
        return finished[: int(newest["number"] or 1)][::-1]
    fitting = [run for run in runs if run.run_id.startswith(word)] or [
        run for run in runs if run.name == word
    ]
    if not fitting:
        raise RunSelectionError(
            f"No run of a model in {store} has {word!r} as its id, as the beginning of its id, or as its name. "
            f"{_list(runs)}: name one of them by its id, or the newest by `last` or `last-3`"
        )
    if len(fitting) > 1:
        raise RunSelectionError(
            f"{word!r} fits {len(fitting)} runs of models in {store}. {_list(fitting)}: name one of them by its id"
        )
    return fitting


def _list(runs: Sequence[RunSummary]) -> str:
    shown = ", ".join(
        f"{run.run_id[:SHORT_ID]} ({run.name}, {run.status.lower()}, {run.started:%Y-%m-%d %H:%M})"
        for run in runs[:MAX_LISTED]
    )
    return (
        f"The newest {MAX_LISTED} of {len(runs)} are {shown}"
        if len(runs) > MAX_LISTED
        else f"There are {shown}"
    )
