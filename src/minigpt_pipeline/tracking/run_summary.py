"""What a person wants to know when `kedro run` has ended."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from minigpt_pipeline.search.outcome import TRIAL_TYPES

NUM_TEXTS = 5

QUALITY_FIGURES = {
    "seq_rep_4": ("4-grams that a text repeats", ".2%"),
    "distinct_2": ("distinct among all 2-grams", ".1%"),
    "kneser_ney_perplexity": ("perplexity of a Kneser-Ney 5-gram model", ".1f"),
    "copied_8gram_share": ("8-grams that stand in training reviews", ".2%"),
}


def print_summary(pipeline: Pipeline, catalog: DataCatalog, run_id: str, store: str) -> None:
    """Print the held-out loss, figures of texts, texts for the first prompt, what a search found, and where all is.

    Args:
        pipeline: What has run; only what it saved is shown.
        catalog: Where it was saved.
        run_id: The MLflow run.
        store: The MLflow store's address.
    """
    console = Console(highlight=False)
    saved = pipeline.all_outputs()
    if "evaluation_metrics" in saved:
        console.print(metrics_table(catalog.load("evaluation_metrics")))
    if "quality_metrics" in saved and (quality := catalog.load("quality_metrics")):
        console.print(quality_table(quality))
    if "generated_samples" in saved:
        console.print(texts_panel(catalog.load("generated_samples")))
    if "sweep_trials" in saved:
        console.print(search_table(catalog.load("sweep_trials")))
    if "best_parameters" in saved:
        path = catalog["best_parameters"].filepath
        console.print(f"[bold]Best parameters[/bold]  {escape(str(path))}", soft_wrap=True)
    if "comparison_page" in saved:
        page = catalog["comparison_page"].filepath.as_uri()
        console.print(f"[bold]Page[/bold]    {escape(page)}", soft_wrap=True)
    console.print(
        f"[bold]MLflow[/bold]  run {run_id} in {escape(store)}: [bold]make ui[/bold] shows it", soft_wrap=True
    )


def metrics_table(metrics: Mapping[str, float]) -> Table:
    """Lay out the figures of `evaluation_metrics`."""
    table = Table(
        title="Reviews of films that the model has never seen", title_justify="left", show_header=False
    )
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
