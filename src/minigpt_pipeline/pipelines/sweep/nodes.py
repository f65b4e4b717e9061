"""From a space of parameters to those with which a model of the validation films is best."""

import gc
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from minigpt_pipeline.model.fingerprint import make_fingerprint
from minigpt_pipeline.model.training import train_model
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.parameters import (
    ComputeSettings,
    GenerationParameters,
    ModelParameters,
    SweepParameters,
    TrainingParameters,
)
from minigpt_pipeline.search.outcome import TRIAL_TYPES, describe_best, tabulate_looks, tabulate_trials
from minigpt_pipeline.search.search import Search
from minigpt_pipeline.search.study_store import StudyStore
from minigpt_pipeline.search.sweep_log import SweepLog
from minigpt_pipeline.text.tokenizer import Tokenizer

BEST_COLOUR, OTHER_COLOUR, NEUTRAL_COLOUR = "#d1495b", "#4269d0", "#6b7280"
MAX_MARKED = 5
"""Values of a parameter that have room below its panel, and their digits."""
WITHOUT_EFFECT = {"max_minutes", "max_trials"}
"""Fields of `sweep` that say when the search ends, and change nothing in what it tries until then."""


def search_parameters(  # noqa: PLR0913, PLR0917 -- what the catalog gives it
    train_token_ids: pa.Table,
    validation_token_ids: pa.Table,
    tokenizer: Tokenizer,
    model: ModelParameters,
    training: TrainingParameters,
    generation: GenerationParameters,
    compute: ComputeSettings,
    sweep: SweepParameters,
    sweep_study: StudyStore,
    sweep_log: SweepLog,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Train with one set of parameters after another, and find those with the lowest validation loss.

    A search that was killed or has ended goes on with what it knows.

    Args:
        train_token_ids: Columns `review_id`, `token_ids`; the reviews of the training films.
        validation_token_ids: The same of the films that trials are compared by.
        tokenizer: Whose ids they are.
        model: Sizes of the model, of which a trial changes some.
        training: How it is trained; a trial changes some of it, and has limits of its own.
        generation: Prompts; no trial writes texts.
        compute: Where and how precisely to compute.
        sweep: Space and limits.
        sweep_study: The trials.
        sweep_log: Takes their measurements while the search goes on.

    Returns:
        The trials (see `tabulate_trials`), their looks at the validation films (see `tabulate_looks`), and the best
        parameters as YAML.

    Raises:
        ValueError: If no trial could write the prompts, or stop at the stop token.
        NoTrialError: If not one trial was trained to its end.
        StudyError: If the trials are of other parameters, data or compute, or another search is at work on them.
    """
    from minigpt_pipeline.model.generation import check_generation

    check_generation(
        tokenizer, generation, has_learnt_ends=True
    )  # where ends are learnt is for each trial to say

    def train_trial(
        trial_model: ModelParameters, trial_training: TrainingParameters, training_log: TrainingLog
    ) -> float:
        forget_models()
        inputs = train_token_ids, validation_token_ids, tokenizer
        with naming_exhausted_memory():
            trained_model, _, _ = train_model(
                *inputs, trial_model, trial_training, generation, compute, training_log, None
            )
        loss: Any = trained_model.metadata["best_validation_loss"]
        return float(loss)

    base = {"model": model.model_dump(), "training": training.model_dump()}
    fingerprint = make_fingerprint(
        train_token_ids=_read(train_token_ids),
        validation_token_ids=_read(validation_token_ids),
        parameters=base,
        sweep=sweep.model_dump(exclude=WITHOUT_EFFECT),
        compute=compute.model_dump(),
    )
    with sweep_study.open(fingerprint) as study:
        Search(study, sweep, base, train_trial, sweep_log).run()
        best = describe_best(study, sweep_log.environment)
        return tabulate_trials(study, sweep), tabulate_looks(study), best


def forget_models() -> None:
    """Free the memory of the models so far, also of one whose training has failed."""
    import keras

    keras.utils.clear_session()
    gc.collect()  # graphs hold models in circles


@contextmanager
def naming_exhausted_memory() -> Iterator[None]:
    """Say in Python's words that TensorFlow has no memory left; its own are a page long.

    Raises:
        MemoryError: If a model does not fit.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError("the model does not fit in memory") from error


def _read(token_ids: pa.Table) -> np.ndarray:
    """Return all token ids behind each other, int32, (num_words,)."""
    lists = token_ids["token_ids"].combine_chunks()
    words: np.ndarray = lists.flatten().to_numpy()
    return words


def plot_search(sweep_trials: pd.DataFrame) -> Any:
    """Draw the loss of each trial, and the best so far, in the order in which they were tried.

    Args:
        sweep_trials: What `search_parameters` returns.

    Returns:
        A matplotlib `Figure`; the annotation would load matplotlib in every run.
    """
    figure, (axes,) = _make_figure(1, "The search")
    known = sweep_trials[sweep_trials["loss"].notna()]
    complete = known[known["state"] == "complete"]
    given_up = known[known["state"] != "complete"]
    if len(given_up):
        label = "given up, or not ended"
        axes.plot(given_up["trial"], given_up["loss"], "x", color=NEUTRAL_COLOUR, label=label)
    axes.plot(complete["trial"], complete["loss"], "o", color=OTHER_COLOUR, label="trained to the end")
    best = complete["loss"].cummin()
    axes.step(complete["trial"], best, where="post", color=BEST_COLOUR, label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel("validation loss (nats per word)")
    axes.legend(frameon=False)
    return figure


def plot_parameters(sweep_trials: pd.DataFrame) -> Any:
    """Draw the loss of the trials that were trained to their end against each parameter.

    Args:
        sweep_trials: What `search_parameters` returns; its last columns are the parameters.

    Returns:
        A matplotlib `Figure`.
    """
    names = list(sweep_trials.columns[len(TRIAL_TYPES) :])
    complete = sweep_trials[sweep_trials["state"] == "complete"]
    best = int(complete["loss"].to_numpy().argmin())
    figure, panels = _make_figure(len(names), "What each parameter does")
    for axes, name in zip(panels, names, strict=False):
        values = complete[name].map(json.loads)
        is_number = values.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool))
        if not is_number.all():
            values = complete[name].str.strip('"')
        axes.plot(values, complete["loss"], "o", color=OTHER_COLOUR, alpha=0.6)
        axes.plot(values.iloc[best], complete["loss"].iloc[best], "o", color=BEST_COLOUR)
        if is_number.all():
            _mark_values(axes, sorted(set(values)))
        axes.set_xlabel(name)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    panels[0].set_ylabel("validation loss (nats per word)")
    return figure


def _mark_values(axes: Any, values: Sequence[float]) -> None:
    """Scale the axis of numbers, and write them below it, each one where they are few."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if values[0] > 0 and values[-1] / values[0] > 4:  # noqa: PLR2004 -- by eye
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if len(values) <= MAX_MARKED and all(len(f"{value:g}") <= MAX_MARKED for value in values):
        axes.set_xticks(values)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def plot_trials(sweep_trials: pd.DataFrame, sweep_looks: pd.DataFrame) -> Any:
    """Draw the learning curves of all trials, the best one on top.

    Args:
        sweep_trials: What `search_parameters` returns.
        sweep_looks: The same.

    Returns:
        A matplotlib `Figure`.
    """
    complete = sweep_trials[sweep_trials["state"] == "complete"].set_index("trial")
    best = complete["loss"].idxmin()
    figure, (axes,) = _make_figure(1, "Learning curves of the trials")
    for number, curve in sweep_looks.groupby("trial"):
        is_best = number == best
        colour = BEST_COLOUR if is_best else OTHER_COLOUR if number in complete.index else NEUTRAL_COLOUR
        label = f"trial {number}, the best" if is_best else None
        style = {"color": colour, "alpha": 1.0 if is_best else 0.4, "zorder": 3 if is_best else 2}
        axes.plot(curve["seconds"] / 60, curve["loss"], marker=".", label=label, **style)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("validation loss (nats per word)")
    axes.legend(frameon=False)
    return figure


def _make_figure(num_panels: int, title: str) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    columns = min(num_panels, 3)
    rows = math.ceil(num_panels / columns)
    figure = Figure(figsize=(max(8, 4 * columns), max(4.5, 3 * rows)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes in panels:
        axes.grid(color=NEUTRAL_COLOUR, alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels
