"""From the runs of trained models to one page that shows them beside each other."""

import logging

from minigpt_pipeline.comparison.model_run import ComparedRuns, ModelRunStore
from minigpt_pipeline.comparison.page import render_page
from minigpt_pipeline.comparison.selection import choose_runs
from minigpt_pipeline.parameters import ComparisonParameters

logger = logging.getLogger(__name__)


def select_runs(model_runs: ModelRunStore, comparison: ComparisonParameters) -> ComparedRuns:
    """Read the runs that are to be compared.

    Args:
        model_runs: Where runs are read from.
        comparison: Supplies their ids, names, or `last-3`.

    Returns:
        The runs in the order in which they were named.

    Raises:
        RunSelectionError: If one of them is not there; the message names those that are.
    """
    chosen = choose_runs(comparison.runs, model_runs.list_runs(), model_runs.address)
    logger.info("Comparing %s", ", ".join(f"{run.run_id} ({run.name})" for run in chosen))
    runs = [model_runs.read_run(run.run_id) for run in chosen]
    return ComparedRuns(runs, model_runs.address, model_runs.read_at)


def render_comparison(compared_runs: ComparedRuns, comparison: ComparisonParameters) -> str:
    """Write the page that compares runs; it needs no other file and no network.

    Args:
        compared_runs: One run or more.
        comparison: Supplies how many texts of a prompt are not folded away.

    Returns:
        HTML.
    """
    return render_page(compared_runs, comparison.texts_per_prompt)
