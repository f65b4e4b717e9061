"""What differs between runs: parameters, final metrics, texts."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minigpt_pipeline.comparison.model_run import ModelRun
from minigpt_pipeline.parameters import SHOWN_SETTINGS

LOWEST = "val/loss, lowest"
"""A row of its own: a model has the weights of its lowest loss on the validation films, not those of its last step."""

GROUPS = ("test", "val", "gen", "train")
"""What people look at first comes first."""

DATA_OF_GROUP = {
    "test": ("test_token_ids",),
    "val": ("validation_token_ids",),
    "gen": ("test_token_ids", "train_token_ids"),
    "train": ("train_token_ids",),
}
"""What the metrics of a group are measured on: texts (`gen`) beside test reviews, by what training reviews have."""

SETTINGS_OF_GROUP = {
    "gen": re.compile(r"generation\.(?:sampling\..+|quality_texts)"),
    "train": re.compile(r"training\.sequences|model\.dropout"),
}
"""Parameters that change what a group measures: the number of texts and how they are drawn; words and dropout."""

TOKENIZATION = ("vectorization.tokenizer", "vectorization.vocabulary_size")
"""Parameters that say what tokens are."""

WORDS = "test/words"
"""On how many words `test/` was measured: in runs of 0.2.0 more with a longer context, and in `val/` too."""

BITS_PER_CHARACTER, CHARACTERS = "test/bits_per_character", "test/characters"
"""What compares whatever the tokens are, and on how much text it was measured."""

LOWER_IS_BETTER = re.compile(
    r"(?!gen/).*/(?!source_)(?:\w+_)?(?:loss|perplexity|bits)(?:_per_\w+)?(?:, lowest)?"
)
"""A source's loss is the corpus's, whatever the model; figures of generated texts shall be as people's."""
HIGHER_IS_BETTER = re.compile(r".*/tokens_per_second")


@dataclass(frozen=True)
class Figure:
    """A metric of one run.

    Args:
        value: In the unit of the metric.
        low: Lower end of its interval, where one was measured.
        high: Its upper end.
        difference: From the first run; None of the first run itself, and where the two can't be compared.
        is_best: Among runs that were measured on the same data; none is where all are equal.
    """

    value: float
    low: float | None
    high: float | None
    difference: float | None
    is_best: bool


@dataclass(frozen=True)
class MetricRow:
    """A metric of all runs; None for a run that has none."""

    name: str
    figures: list[Figure | None]

    @property
    def numbers(self) -> list[float]:
        """All values, and the ends of their intervals."""
        figures = [figure for figure in self.figures if figure]
        ends = [end for figure in figures for end in (figure.low, figure.high) if end is not None]
        return [figure.value for figure in figures] + ends


@dataclass(frozen=True)
class TextRow:
    """The texts that the runs wrote with equal settings; None for a run that has none."""

    seed: int
    settings: str
    texts: list[str | None]


def compare_parameters(
    runs: Sequence[ModelRun],
) -> tuple[dict[str, list[str | None]], dict[str, str]]:
    """Tell the parameters that differ from those that are equal in all runs.

    Returns:
        A value for each run by name of the parameter, None where a run has none; and the value that all have.
    """
    names = sorted({name for run in runs for name in run.parameters})
    values = {name: [run.parameters.get(name) for run in runs] for name in names}
    differing = {name: texts for name, texts in values.items() if len(set(texts)) > 1}
    equal = {name: texts[0] or "" for name, texts in values.items() if name not in differing}
    return differing, equal


def find_incomparable(runs: Sequence[ModelRun]) -> dict[str, list[str]]:
    """Find out why figures can't be compared as they stand.

    Returns:
        By group of metrics (`test`, `val`, `gen`, `train`), what differs: the parameters of the tokens; where these are
        equal, the data that the figures were measured on, by its digest; settings that change what is measured; or the
        context, where it is not known that as many words were measured with each, and in training, where most words
        have the more before them the longer it is. Nothing, where nothing differs.
    """
    tokenization = " and ".join(name for name in TOKENIZATION if _differs(name, runs))
    words = {run.metrics.get(WORDS) for run in runs}
    has_equal_words = len(words) == 1 and None not in words
    judged_by_context = {"train"} if has_equal_words else {"test", "val", "train"}
    reasons: dict[str, list[str]] = {}
    for group, data in DATA_OF_GROUP.items():
        found = [tokenization] if tokenization else [name for name in data if _has_other_digest(name, runs)]
        if group in SETTINGS_OF_GROUP and (settings := _find_other_settings(SETTINGS_OF_GROUP[group], runs)):
            found.append(" and ".join(settings))
        if group in judged_by_context and _differs("model.sequence_length", runs):
            found.append("model.sequence_length")
        if found:
            reasons[group] = found
    return reasons


def _differs(name: str, runs: Sequence[ModelRun]) -> bool:
    return len({run.parameters[name] for run in runs if name in run.parameters}) > 1


def _has_other_digest(data: str, runs: Sequence[ModelRun]) -> bool:
    return len({run.data_digests[data] for run in runs if data in run.data_digests}) > 1


def _find_other_settings(pattern: re.Pattern[str], runs: Sequence[ModelRun]) -> list[str]:
    """Return the parameters that differ; null is one that an older run doesn't name, but not of a run without any."""
    settings = [
        {name: text for name, text in run.parameters.items() if pattern.fullmatch(name)} for run in runs
    ]
    known = [values for values in settings if values]
    names = sorted({name for values in known for name in values})
    return [name for name in names if len({values.get(name, "null") for values in known}) > 1]


def compares_characters(runs: Sequence[ModelRun]) -> bool:
    """Return whether several runs have bits per character, all of them of equally many, which tells texts apart."""
    lengths = [run.metrics.get(CHARACTERS) for run in runs if BITS_PER_CHARACTER in run.metrics]
    return len(lengths) > 1 and None not in lengths and len(set(lengths)) == 1


def compare_metrics(runs: Sequence[ModelRun]) -> list[MetricRow]:
    """Put the metrics of runs beside each other, with differences from the first run and a mark at the best.

    `NAME_low` and `NAME_high` are the interval of `NAME`. Where it is not known whether lower or higher is better, or
    where runs can't be compared, none is marked.
    """
    metrics = [_with_lowest(run) for run in runs]
    every_name = {name for values in metrics for name in values}
    names = [name for name in every_name if not _is_end_of_interval(name, every_name)]
    incomparable = find_incomparable(runs)
    comparable = {name for name in names if _group_of(name) not in incomparable}
    if compares_characters(runs):
        comparable.add(BITS_PER_CHARACTER)
    return [
        MetricRow(name, _compare(name, metrics, is_comparable=name in comparable))
        for name in sorted(names, key=_order)
    ]


def _with_lowest(run: ModelRun) -> dict[str, float]:
    losses = [value for _, value in run.curves.get("val/loss", ()) if math.isfinite(value)]
    return run.metrics | ({LOWEST: min(losses)} if losses else {})


def _is_end_of_interval(name: str, every_name: set[str]) -> bool:
    stem, _, end = name.rpartition("_")
    return end in {"low", "high"} and stem in every_name


def _group_of(name: str) -> str:
    return name.partition("/")[0]


def _order(name: str) -> tuple[int, str]:
    group = _group_of(name)
    return (GROUPS.index(group) if group in GROUPS else len(GROUPS)), name


def _compare(name: str, metrics: Sequence[dict[str, float]], *, is_comparable: bool) -> list[Figure | None]:
    best = _find_best(name, [values[name] for values in metrics if name in values]) if is_comparable else None
    first = metrics[0].get(name) if is_comparable else None
    figures: list[Figure | None] = []
    for position, values in enumerate(metrics):
        value = values.get(name)
        if value is None:
            figures.append(None)
            continue
        difference = value - first if position and first is not None else None
        low, high = values.get(f"{name}_low"), values.get(f"{name}_high")
        figures.append(Figure(value, low, high, difference, is_best=value == best))
    return figures


def _find_best(name: str, values: Sequence[float]) -> float | None:
    numbers = [value for value in values if not math.isnan(value)]
    if len(set(numbers)) < 2:  # noqa: PLR2004 -- two values make a best one
        return None
    if LOWER_IS_BETTER.fullmatch(name):
        return min(numbers)
    return max(numbers) if HIGHER_IS_BETTER.fullmatch(name) else None


def compare_texts(runs: Sequence[ModelRun]) -> dict[str, list[TextRow]]:
    """Put the texts of trained models beside each other, each with those of the same prompt, seed and settings.

    Of the texts that a run wrote on its way the last ones count. They are shown as people read them, where the run has
    them so.

    Returns:
        The rows of each prompt, prompts in the order in which they are met.
    """
    written: list[dict[tuple[Any, ...], str]] = []
    for run in runs:
        ordered = sorted(run.samples, key=lambda row: int(row["epoch"]))
        written.append({_key(row): str(row.get("readable_text") or row["text"]) for row in ordered})
    keys = dict.fromkeys(key for texts in written for key in texts)
    settings = {key[2:] for key in keys}
    prompts: dict[str, list[TextRow]] = {}
    for key in keys:
        shown = _describe_settings(key[2:]) if len(settings) > 1 else ""
        row = TextRow(int(key[1]), shown, [texts.get(key) for texts in written])
        prompts.setdefault(str(key[0]), []).append(row)
    return prompts


def describe_common_settings(runs: Sequence[ModelRun]) -> str | None:
    """Return how all texts were drawn, where all were drawn alike."""
    settings = {_key(row)[2:] for run in runs for row in run.samples}
    return _describe_settings(settings.pop()) if len(settings) == 1 else None


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a text from others of its run; a setting that an older run doesn't name was off."""
    return row["prompt"], row["seed"], *(row.get(name) for name in SHOWN_SETTINGS)


def _describe_settings(values: tuple[float | None, ...]) -> str:
    named = zip(SHOWN_SETTINGS, values, strict=True)
    return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in named if value is not None)
