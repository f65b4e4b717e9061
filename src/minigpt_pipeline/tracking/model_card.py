"""What a person should know before using a model, written from what its MLflow run has logged."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jinja2
from mlflow.entities import Run

from minigpt_pipeline import __version__

TEMPLATE = "model_card.md"

Corpus = Literal["imdb", "synthetic", "own"]

DATA: dict[Corpus, str] = {
    "imdb": "The Large Movie Review Dataset (Maas et al., ACL 2011): film reviews of IMDb in English, 50,000 of them "
    "rated, copies left out. What is known of it: docs/data_card.md.",
    "synthetic": "The embedded corpus: 4,000 film reviews that a grammar has written, whose entropy is known "
    "(docs/data_card.md).",
    "own": "Texts of one's own (docs/own_text.md).",
}

FIGURES = (
    ("perplexity", "test/perplexity", "{:.2f}"),
    ("loss, nats a word", "test/loss", "{:.4f}"),
    ("the source's own loss on the same words", "test/source_loss", "{:.4f}"),
    ("perplexity of a Kneser-Ney 5-gram model", "test/kneser_ney_perplexity", "{:.2f}"),
    ("bits per character, `[UNK]`s spelled out", "test/bits_per_character", "{:.3f}"),
    ("share of `[UNK]`", "test/unk_rate", "{:.2%}"),
    ("expected calibration error", "test/calibration_error", "{:.4f}"),
    ("4-grams that a text repeats, to people's", "gen/seq_rep_4_ratio", "{:.2f} ×"),
    ("distinct 2-grams, to people's", "gen/distinct_2_ratio", "{:.2f} ×"),
    ("5-gram perplexity of the texts, to people's", "gen/kneser_ney_perplexity_ratio", "{:.2f} ×"),
    ("8-grams that stand in training texts, to people's", "gen/copied_8gram_share_ratio", "{:.2f} ×"),
)
"""Label, metric and form; one that was not logged is left out."""

SIZES = (
    ("tokens of the vocabulary, at most", "vectorization.vocabulary_size"),
    ("kind of tokens", "vectorization.tokenizer"),
    ("context, tokens", "model.sequence_length"),
    ("blocks", "model.num_blocks"),
    ("width", "model.embed_dim"),
    ("heads", "model.num_heads"),
    ("output layer", "model.output_layer"),
    ("seed", "training.seed"),
    ("optimizer", "training.optimizer.name"),
    ("precision of the training step", "compute.precision"),
)


def render_model_card(run: Run) -> str:
    """Write the card of a model, in Markdown.

    Args:
        run: The model's run, with what has been logged so far.
    """
    parameters, metrics = run.data.params, run.data.metrics
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(  # Markdown, in which HTML means nothing # nosec B701
        loader=loader,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    corpus = find_corpus(parameters)
    return environment.get_template(TEMPLATE).render(
        name=run.info.run_name,
        run_id=run.info.run_id,
        started=f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        tags={"environment": "?", "git_commit": "?"} | run.data.tags,
        corpus=corpus,
        data=DATA[corpus],
        sizes=list(_list_sizes(parameters)),
        figures=list(_list_figures(metrics)),
        context=parameters.get("model.sequence_length", "?"),
        copied=f"{metrics['gen/copied_8gram_share']:.1%}" if "gen/copied_8gram_share" in metrics else "some",
        share=lambda part: f"{float(parameters.get(f'vectorization.split.{part}', 0)):.0%}",
    )


def find_corpus(parameters: Mapping[str, str]) -> Corpus:
    """Return what a model was trained on."""
    if "ingestion.documents.text_column" in parameters:
        return "own"
    return "synthetic" if parameters.get("evaluation.known_source") == "synthetic_reviews" else "imdb"


def _list_sizes(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for label, name in SIZES:
        if name in parameters:
            yield label, parameters[name]


def _list_figures(metrics: Mapping[str, float]) -> Iterator[tuple[str, Any]]:
    for label, name, form in FIGURES:
        if name not in metrics:
            continue
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        interval = "" if low is None or high is None else f" ({form.format(low)} to {form.format(high)})"
        yield label, form.format(metrics[name]) + interval
