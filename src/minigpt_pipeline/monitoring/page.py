"""What was served, as one page that looks right offline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minigpt_pipeline import __version__
from minigpt_pipeline.monitoring.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, draw_charts
from minigpt_pipeline.monitoring.warnings import ALL
from minigpt_pipeline.pages import make_environment

TEMPLATE = "monitoring.html.jinja"

FIGURES = (
    ("requests", "Requests", "{:,.0f}"),
    ("error_share", "Requests that the server failed (5xx)", "{:.2%}"),
    ("overloaded_share", "Requests that found no room (429)", "{:.2%}"),
    ("refused_share", "Requests that were refused, for any reason", "{:.2%}"),
    ("texts", "Texts", "{:,.0f}"),
    ("prompt_tokens_mean", "Tokens of a prompt, mean", "{:.1f}"),
    ("prompt_tokens_p95", "Tokens of a prompt, 95th percentile", "{:.0f}"),
    ("prompt_tokens_max", "Tokens of the longest prompt", "{:,.0f}"),
    ("long_prompt_share", "Prompts longer than the context", "{:.2%}"),
    ("unk_rate", "[UNK] in prompts; in training reviews, in as many first tokens", "{:.2%}"),
    ("new_tokens_mean", "Tokens of a text, mean", "{:.1f}"),
    ("ended_share", "Texts that the model ended", "{:.1%}"),
    ("cancelled_share", "Texts whose reader went away", "{:.1%}"),
    ("waited_p95", "Seconds until a text had a slot, 95th percentile", "{:.3f}"),
    ("first_token_p50", "Seconds to the first token, median", "{:.3f}"),
    ("first_token_p95", "Seconds to the first token, 95th percentile", "{:.3f}"),
    ("first_token_p99", "Seconds to the first token, 99th percentile", "{:.3f}"),
    ("seconds_p50", "Seconds to the end of a text, median", "{:.2f}"),
    ("seconds_p95", "Seconds to the end of a text, 95th percentile", "{:.2f}"),
    ("seconds_p99", "Seconds to the end of a text, 99th percentile", "{:.2f}"),
    ("tokens_per_second_p50", "Tokens a second of a text, median", "{:,.0f}"),
    ("seq_rep_4", "4-grams that a text repeats (seq-rep-4); reviews as long", "{:.2%}"),
    ("distinct_2", "Distinct among the 2-grams of a text; reviews as long", "{:.1%}"),
)
"""Name, what people read, and the form of each figure."""


@dataclass(frozen=True)
class FigureRow:
    """A figure of all that was served, of each version, and of training reviews."""

    label: str
    values: list[str]
    is_far: bool


def render_monitoring(report: Mapping[str, Any]) -> str:
    """Write the page.

    Args:
        report: As `report.describe_served` makes it, with its `warnings`.

    Returns:
        HTML, the same for the same report.
    """
    versions = [name for name in report["figures"] if name != ALL]
    figures = report["figures"][ALL]
    template = make_environment("minigpt_pipeline.monitoring").get_template(TEMPLATE)
    return template.render(
        title=f"Served: {figures['texts']:,.0f} texts",
        version=__version__,
        report=report,
        figures=figures,
        columns=["All", *(f"Version {name}" for name in versions if len(versions) > 1), "Training"],
        versions=versions,
        rows=list_rows(report),
        charts=draw_charts(report["spans"], figures, report["until"]),
        picture={
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": RIGHT,
            "top": TOP,
            "bottom": BOTTOM,
        },
    )


def list_rows(report: Mapping[str, Any]) -> list[FigureRow]:
    """Lay out figures: of all, of each version where there are several, and of training reviews."""
    scopes = report["figures"]
    shown = [scope for scope in scopes if scope == ALL or len(scopes) > 2]  # noqa: PLR2004 -- all, and the one version
    far = {warning["figure"] for warning in report["warnings"]}

    def form_of(scope: str, name: str, form: str) -> str:
        return form.format(scopes[scope][name]) if name in scopes[scope] else ""

    return [
        FigureRow(
            label,
            [*(form_of(scope, name, form) for scope in shown), form_of(ALL, f"training_{name}", form)],
            name in far,
        )
        for name, label, form in FIGURES
        if any(name in figures for figures in scopes.values())
    ]
