"""Ctrl-C in each pipeline ends it with one message and whole files; started again, it comes to the same end.

The run presses it itself, where a node begins to work or a file is written and not yet renamed: so the moment is sure.
"""

import importlib
from typing import Any

import pandas as pd
import pytest

from tests.faults.checks import check_end, check_whole, list_runs
from tests.faults.stages import Stages
from tests.faults.test_matrix import read_message

NODES = "minigpt_pipeline.pipelines"
STEP = "minigpt_pipeline.model.training_loop make_language_model_pairs"
AGAIN = "it comes to the same end"
CASES = [
    ("ingestion", "read_reviews", "minigpt_pipeline.text.imdb decode"),
    ("validation", "check_reviews", "minigpt_pipeline.expectations.review_check judge_rows"),
    # On threads, while the main one waits.
    ("vectorization", "encode_reviews", "minigpt_pipeline.text.encoding split_words"),
    ("training", "train_model", STEP),
    ("evaluation", "evaluate_model", f"{NODES}.evaluation.nodes summarize_losses"),
    ("generation", "measure_quality", "minigpt_pipeline.model.quality write_beside"),
    ("promotion", "decide_promotion", f"{NODES}.promotion.nodes decide"),
    ("comparison", "render_comparison", f"{NODES}.comparison.nodes render_page"),
    ("sweep", "search_parameters", STEP),
    ("ingestion", "raw_reviews.parquet", ""),
    ("validation", "reviews.parquet", ""),
    ("vectorization", "train_token_ids.parquet", ""),
    ("training", "trained_model.keras", ""),
    ("evaluation", "evaluation_metrics.json", ""),
    ("generation", "generated_samples.parquet", ""),
    ("promotion", "promotion_decision.json", ""),
    ("comparison", "comparison.html", ""),
    ("sweep", "sweep_trials.parquet", ""),
]
GOES_ON = {
    "train_model": "training goes on behind step 1 of 40",
    "search_parameters": "the search goes on; trials done so far: 0",
}


@pytest.mark.slow
@pytest.mark.parametrize("function", sorted({function for *_, function in CASES if function}))
def test_what_interrupts_is_there(function: str) -> None:
    module, name = function.split()
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("pipeline", "place", "function"), CASES)
def test_a_pipeline_is_interrupted_and_comes_to_the_same_end(
    stages: Stages, pipeline: str, place: str, function: str
) -> None:
    stage = stages.put_back(pipeline)
    moment: dict[str, Any] = {"node": place, "calls": function} if function else {"saves": place}

    run = stages.launcher.start(stages.project, *stage.arguments, faults=[moment | {"do": "SIGINT"}])

    assert run.wait() == 130, run.said
    assert run.output == ""
    what_next = GOES_ON.get(place, AGAIN)
    assert read_message(run.said) == [
        f"Interrupted: all files are whole, old or new. Run the same command again, and {what_next}."
    ]
    check_whole(stages.project, stage)
    assert not list(stages.project.rglob("*.partial"))
    runs = list_runs(stages.project)
    assert "KILLED" in {run.status for run in runs} <= {"KILLED", "FINISHED"}
    stages.launcher.run(stages.project, *stage.arguments)
    check_end(stages.project, stage, {run.run_id: run.status for run in runs})
    if pipeline == "sweep":
        trials = pd.read_parquet(stages.project / "data/test/07_model_output/sweep_trials.parquet")
        assert trials["state"].isin(["complete", "pruned"]).sum() == 3
        assert trials["reason"].tolist().count("interrupted") == bool(function)
