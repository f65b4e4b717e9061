"""What a person wants to know when `kedro run` has ended."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from minigpt_pipeline.expectations.incoming_batch import describe_batch
from minigpt_pipeline.hidden import escape
from minigpt_pipeline.monitoring.report import summarize
from minigpt_pipeline.search.outcome import TRIAL_TYPES

NUM_TEXTS = 5

QUALITY_FIGURES = {
    "seq_rep_4": ("4-grams that a text repeats", ".2%"),
    "distinct_2": ("distinct among all 2-grams", ".1%"),
    "kneser_ney_perplexity": ("perplexity of a Kneser-Ney 5-gram model", ".1f"),
    "copied_8gram_share": ("8-grams that stand in training reviews", ".2%"),
}


PLACES = {
    "incoming_page": "New",
    "validation_page": "Checks",
    "trained_model": "Model",
    "promotion_decision": "Record",
    "generated_samples": "Texts",
    "best_parameters": "Found",
    "comparison_page": "Page",
    "monitoring_page": "Served",
}
"""What is named with its place where a run has saved it, and under which word."""

DECISIONS = {
    "promoted": "Version {champion} is in use from now on",
    "kept": "Version {champion} stays in use",
    "restored": "Version {champion} is in use again",
    "vacant": "No version is in use",
}
"""What became of the champion."""

NEXT_STEPS = {
    "promotion_decision": "`make versions` lists all, `make rollback` puts the one before in use",
    "comparison_page": "open the page in a browser",
    "best_parameters": "the second line of what was found is the command that trains with it",
    "generated_samples": "`make ui` shows curves and texts, `make compare` sets models side by side",
    "evaluation_metrics": "`kedro run --pipelines generation{env}` lets it write",
    "trained_model": "`kedro run --pipelines evaluation,generation{env}` measures it and lets it write",
    "train_token_ids": "`kedro run --pipelines training{env}`",
    "reviews": "`kedro run --pipelines vectorization{env}`",
    "raw_reviews": "`kedro run --pipelines validation{env}`",
    "incoming_report": "`kedro run --pipelines retraining{env}` trains on what was accepted",
    "monitoring_page": "open the page in a browser; docs/monitoring.md says what each figure means",
}
"""By what a run has saved; the first that holds."""


def print_summary(
    pipeline: Pipeline, catalog: DataCatalog, run_id: str, store: str, environment: str | None = None
) -> None:
    """Print figures and texts, what a search found, where all is, and what can be done next.

    Args:
        pipeline: What has run; only what it saved is shown.
        catalog: Where it was saved.
        run_id: The MLflow run.
        store: The MLflow store's address.
        environment: Of the configuration; null means Kedro's own choice.
    """
    console = Console(highlight=False)
    saved = pipeline.all_outputs()
    for title, lines in _list_reports(saved, catalog):
        console.print(title, style="italic")
        for line in lines:
            console.print(escape(line), soft_wrap=True)
    if "evaluation_metrics" in saved:
        console.print(metrics_table(catalog.load("evaluation_metrics")))
    if "quality_metrics" in saved and (quality := catalog.load("quality_metrics")):
        console.print(quality_table(quality))
    if "generated_samples" in saved:
        console.print(texts_panel(catalog.load("generated_samples")))
    if "promotion_decision" in saved:
        print_decision(console, catalog.load("promotion_decision"))
    if "sweep_trials" in saved:
        console.print(search_table(catalog.load("sweep_trials")))
    for label, text in _list_places(saved, catalog):
        console.print(f"[bold]{label:7}[/bold] {escape(text)}", soft_wrap=True)
    console.print(f"[bold]MLflow [/bold] run {run_id} in {escape(store)}", soft_wrap=True)
    if next_step := next((step for name, step in NEXT_STEPS.items() if name in saved), None):
        option = f" --env {environment}" if environment else ""
        console.print(f"[bold]Next   [/bold] {escape(next_step.format(env=option))}", soft_wrap=True)


def _list_reports(saved: Iterable[str], catalog: DataCatalog) -> Iterator[tuple[str, Iterable[str]]]:
    if "incoming_report" in saved and (batches := catalog.load("incoming_report")["batches"]):
        yield "New data", list_batches(batches)
    if "monitoring_report" in saved:
        yield "Served", summarize(catalog.load("monitoring_report"))


def _list_places(saved: Iterable[str], catalog: DataCatalog) -> Iterator[tuple[str, str]]:
    for name, label in PLACES.items():
        path = getattr(catalog.get(name), "filepath", None) if name in saved else None
        if path is None:
            continue
        yield label, Path(path).absolute().as_uri() if Path(path).suffix == ".html" else str(path)


def list_batches(batches: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say what became of each batch of new data, why, and what to look at."""
    for one in batches:
        yield describe_batch(one)
        drift = one["drift"]["warnings"].values() if one["drift"] else ()
        yield from (f"  {line}" for line in (*one["reasons"], *one["warnings"], *drift))


def metrics_table(metrics: Mapping[str, float]) -> Table:
    """Lay out the figures of `evaluation_metrics`."""
    table = Table(title="On texts that the model has never seen", title_justify="left", show_header=False)
    table.add_row("held-out loss", f"{metrics['test/loss']:.4f} nats a word")
    if "test/source_loss" in metrics:
        table.add_row(
            "the corpus's known entropy", f"{metrics['test/source_loss']:.4f} nats a word, on the same words"
        )
        table.add_row("excess over it", f"{metrics['test/excess_loss']:.4f} nats a word")
    low, high = metrics["test/perplexity_low"], metrics["test/perplexity_high"]
    table.add_row("perplexity", f"{metrics['test/perplexity']:.2f}, 95 % interval {low:.2f} to {high:.2f}")
    table.add_row("of a Kneser-Ney 5-gram model", f"{metrics['test/kneser_ney_perplexity']:.2f}")
    if (bits := metrics.get("test/bits_per_character")) is not None:
        low, high = (metrics[f"test/bits_per_character_{end}"] for end in ("low", "high"))
        table.add_row("bits per character", f"{bits:.3f}, 95 % interval {low:.3f} to {high:.3f}")
    table.add_row("share of [UNK]".replace("[", r"\["), f"{metrics['test/unk_rate']:.2%}")
    return table


def quality_table(metrics: Mapping[str, float]) -> Table:
    """Lay out the figures of `quality_metrics` that shall be as people's."""
    table = Table("", "model", "people", title="Texts beside reviews of equal length", title_justify="left")
    for name, (label, form) in QUALITY_FIGURES.items():
        values = (metrics.get(f"gen/{whose}{name}") for whose in ("", "human_"))
        table.add_row(label, *("" if value is None else format(value, form) for value in values))
    return table


def print_decision(console: Console, decision: Mapping[str, Any]) -> None:
    """Say what was decided, on what figures, and why."""
    models = [decision["candidate"], *decision["incumbents"]]
    roles = ["candidate", *("champion" if one["in_use"] else "champion before" for one in models[1:])]
    columns = (f"version {one['version']},\n{role}" for role, one in zip(roles, models, strict=True))
    table = Table("", *columns, title="On the validation films", title_justify="left")
    for name in dict.fromkeys(name for one in models for name in one["figures"]):
        values = (one["figures"].get(name) for one in models)
        table.add_row(name, *("" if value is None else f"{value:.5g}" for value in values))
    if table.row_count:
        console.print(table)
    console.print(f"[bold]{DECISIONS[decision['outcome']].format(champion=decision['champion'])}[/bold]")
    for reason in decision["reasons"]:
        console.print(f"  {escape(reason)}", soft_wrap=True)


def search_table(trials: pd.DataFrame) -> Table:
    """Lay out what came of the trials in `sweep_trials`, and the parameters of the best one."""
    best = trials[trials["state"] == "complete"].nsmallest(1, "loss").iloc[0]
    states = trials["state"].value_counts(sort=False)
    table = Table(title="The search", title_justify="left", show_header=False)
    table.add_row("trials", ", ".join(f"{count} {state}" for state, count in states.items()))
    table.add_row("lowest validation loss", f"{best['loss']:.4f} nats a word, of trial {best['trial']}")
    for name, value in best.drop(list(TRIAL_TYPES)).items():
        table.add_row(str(name), escape(value))
    return table


def texts_panel(samples: pd.DataFrame) -> Panel:
    """Lay out the first texts of the first prompt."""
    prompt = samples["prompt"].iloc[0]
    texts: list[Any] = samples.loc[samples["prompt"] == prompt, "readable_text"].head(NUM_TEXTS).tolist()
    lines = [f"{number}) {escape(text)}" for number, text in enumerate(texts, start=1)]
    return Panel("\n".join(lines), title=f"Texts for «{escape(prompt)}»", title_align="left")
