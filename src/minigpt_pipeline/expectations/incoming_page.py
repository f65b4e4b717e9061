"""What became of new data, as one page that looks right offline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minigpt_pipeline import __version__
from minigpt_pipeline.expectations.page import Row, sort_expectations
from minigpt_pipeline.pages import make_environment
from minigpt_pipeline.text.incoming_batch import BatchOutcome

TEMPLATE = "incoming.html.jinja"

CONSEQUENCES = {
    BatchOutcome.ACCEPTED: "Its files lie in 01_raw/accepted, and the next ingestion takes its reviews in.",
    BatchOutcome.QUARANTINED: "Its files lie in 01_raw/quarantine, and nothing learns from them.",
    BatchOutcome.TAKEN_BEFORE: "Nothing has changed.",
}

REFUSAL = "Else the whole batch is quarantined."

FIGURES = (
    ("reviews", "Reviews", "{:,.0f}"),
    ("words_mean", "Words of a review, mean", "{:.1f}"),
    ("words_median", "Words of a review, median", "{:.0f}"),
    ("words_ks_distance", "Distance of the lengths (Kolmogorov-Smirnov)", "{:.3f}"),
    ("vocabulary_divergence", "Divergence of the words (Jensen-Shannon, bits)", "{:.3f}"),
    ("vocabulary_divergence_by_chance", "The same of as many training words, by chance", "{:.3f}"),
    ("new_word_share", "Words that no training review has", "{:.2%}"),
    ("unk_rate", "[UNK] of the tokenizer in use", "{:.2%}"),
    ("positive_share", "Positive among the labelled", "{:.1%}"),
    ("perplexity", "Perplexity of the champion; beside it that on its validation films", "{:.2f}"),
)
"""Name, what people read, and the form of each figure of a batch."""


@dataclass(frozen=True)
class DriftRow:
    """A figure of a batch beside that of the training reviews."""

    label: str
    new: str
    training: str
    is_far: bool


@dataclass(frozen=True)
class BatchSection:
    """A batch as the page shows it."""

    report: dict[str, Any]
    consequence: str
    warnings: list[str]
    drift: list[DriftRow]
    expectations: list[Row]


def render_incoming(reports: Sequence[dict[str, Any]]) -> str:
    """Write the page on some batches.

    Args:
        reports: As `incoming_batch.judge_batch` makes them, with their drift.

    Returns:
        HTML, the same for the same reports.
    """
    template = make_environment("minigpt_pipeline.expectations").get_template(TEMPLATE)
    title = f"New data: {reports[0]['name']}" if len(reports) == 1 else f"New data: {len(reports)} batches"
    return template.render(title=title, version=__version__, batches=[_describe(one) for one in reports])


def _describe(report: dict[str, Any]) -> BatchSection:
    drift, validation = report["drift"] or {"figures": {}, "warnings": {}}, report["validation"]
    return BatchSection(
        report=report,
        consequence=CONSEQUENCES[BatchOutcome(report["outcome"])],
        warnings=[*report["warnings"], *drift["warnings"].values()],
        drift=list_drift(drift["figures"], drift["warnings"]),
        expectations=sort_expectations(validation, REFUSAL) if validation else [],
    )


def list_drift(figures: Mapping[str, float], warnings: Mapping[str, str]) -> list[DriftRow]:
    """Lay out figures beside those of the training reviews; none that was not measured."""

    def form_of(name: str, form: str) -> str:
        return form.format(figures[name]) if name in figures else ""

    return [
        DriftRow(label, form_of(name, form), form_of(f"training_{name}", form), name in warnings)
        for name, label, form in FIGURES
        if name in figures
    ]
