"""The page that shows runs of models beside each other."""

from dataclasses import dataclass

from minigpt_pipeline import __version__
from minigpt_pipeline.commit import shorten_commit
from minigpt_pipeline.comparison.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, draw_charts
from minigpt_pipeline.comparison.formats import format_difference, format_number, format_seconds
from minigpt_pipeline.comparison.model_run import ComparedRuns, ModelRun
from minigpt_pipeline.comparison.selection import SHORT_ID
from minigpt_pipeline.comparison.tables import (
    BITS_PER_CHARACTER,
    TOKENIZATION,
    compare_metrics,
    compare_parameters,
    compare_texts,
    compares_characters,
    describe_common_settings,
    find_incomparable,
)
from minigpt_pipeline.pages import make_environment

NUM_COLOURS = 8
"""Of lines; a ninth run has the colour of the first, and its number tells them apart."""

TEMPLATE = "comparison.html.jinja"
CURVES = {"val/loss": "Validation films", "train/loss": "Training"}


def render_page(compared: ComparedRuns, texts_per_prompt: int) -> str:
    """Write the page; it asks for nothing from anywhere, and the browser is told to refuse it.

    Args:
        compared: One run or more.
        texts_per_prompt: How many texts of each prompt are not folded away.

    Returns:
        HTML, the same for the same arguments.
    """
    runs = compared.runs
    environment = make_environment("minigpt_pipeline.comparison")
    environment.filters |= {"number": format_number, "difference": format_difference}
    differing, equal = compare_parameters(runs)
    charts = {metric: draw_charts(runs, metric) for metric in CURVES}
    axes = {chart.axis.key: chart.axis for drawn in charts.values() for chart in drawn}
    return environment.get_template(TEMPLATE).render(
        title=f"Comparison of {len(runs)} models" if len(runs) > 1 else "One model",
        compared=compared,
        version=__version__,
        cards=[describe_run(run, number) for number, run in enumerate(runs, start=1)],
        warnings=describe_incomparable(find_incomparable(runs), compares_characters(runs)),
        metrics=compare_metrics(runs),
        has_intervals=any(name.endswith("_low") for run in runs for name in run.metrics),
        charts={CURVES[metric]: drawn for metric, drawn in charts.items() if drawn},
        axes=list(axes.values()),
        picture={
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": RIGHT,
            "top": TOP,
            "bottom": BOTTOM,
        },
        differing=differing,
        equal=equal,
        prompts=compare_texts(runs),
        settings=describe_common_settings(runs),
        texts_per_prompt=texts_per_prompt,
    )


@dataclass(frozen=True)
class Card:
    """A run in a few words.

    Args:
        number: From 1, in the order of the columns.
        colour: From 1 to `NUM_COLOURS`.
        short_id: As much of the id as tells it from others.
        run_id: All of it.
        name: As MLflow shows it.
        status: In small letters.
        facts: What else is to be told, by its name.
    """

    number: int
    colour: int
    short_id: str
    run_id: str
    name: str
    status: str
    facts: dict[str, str]


def describe_run(run: ModelRun, number: int) -> Card:
    """Say in a few words what a run is."""
    summary, tags = run.summary, run.tags
    trained = [seconds for _, seconds in run.curves.get("train/seconds", ())]
    facts = {
        "environment": tags.get("environment"),
        "commit": shorten_commit(tags.get("git_commit", "")),
        "device": " ".join(tags[name] for name in ("device", "precision") if name in tags),
        "started": f"{summary.started:%Y-%m-%d %H:%M} UTC",
        "duration": "still running" if run.seconds is None else format_seconds(run.seconds),
        "of it training": format_seconds(trained[-1]) if trained else None,
        "steps": tags.get("steps"),
        "data digest": tags.get("data_digest"),
    }
    return Card(
        number,
        (number - 1) % NUM_COLOURS + 1,
        summary.run_id[:SHORT_ID],
        summary.run_id,
        summary.name,
        summary.status.lower(),
        {name: text or "unknown" for name, text in facts.items()},
    )


def describe_incomparable(reasons: dict[str, list[str]], has_comparable_characters: bool) -> list[str]:
    """Say what differs so much that figures can't be compared as they stand, and what can all the same.

    Args:
        reasons: By group of metrics; see `find_incomparable`.
        has_comparable_characters: See `compares_characters`.
    """
    warnings = []
    for name in sorted({name for names in reasons.values() for name in names}):
        groups = " and ".join(f"{group}/" for group, names in reasons.items() if name in names)
        is_of_tokens = name.startswith(TOKENIZATION)
        warning = f"The runs differ in {name}: their {groups} figures"
        if is_of_tokens:
            warning += ", losses and perplexities of other tokens,"
        warning += (
            " can't be compared as they stand, so that neither a best one is marked nor a difference given"
        )
        if has_comparable_characters and name in reasons.get("test", ()):
            warning += f"; {BITS_PER_CHARACTER} can, which was measured on the same text"
        elif is_of_tokens:
            warning += f"; {BITS_PER_CHARACTER} could, had the runs measured it on the same text"
        warnings.append(f"{warning}.")
    return warnings
