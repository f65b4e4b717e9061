"""Ctrl-C in each pipeline ends it with one message and whole files; started again, it comes to the same end.

Each run that is interrupted is a process of its own, which presses Ctrl-C itself: so the moment is certain.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from minigpt_pipeline.cli import run
from minigpt_pipeline.pipeline_registry import register_pipelines
from minigpt_pipeline.tracking.model_registry import ModelRegistry

pytestmark = pytest.mark.slow

# The first argument is a moment: `work NODE MODULE FUNCTION` (the node calls the function), or `save FILE` (the file is
# written and not yet renamed). The signal comes once.
LAUNCH = """
import importlib, os, signal, sys
from contextlib import contextmanager

# Where a shell starts tests in the background, children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
kind, *place = sys.argv.pop(1).split()
presses = iter([lambda: os.kill(os.getpid(), signal.SIGINT)])

from kedro.pipeline.node import Node
from minigpt_pipeline.datasets import local_dataset

run_node, replacing = Node.run, local_dataset.replacing

def run_node_that_presses(node, *arguments):
    if kind == "work" and node.name == place[0]:
        module = importlib.import_module(place[1])
        work = getattr(module, place[2])

        def press_and_work(*arguments, **options):
            next(presses, lambda: None)()
            return work(*arguments, **options)

        setattr(module, place[2], press_and_work)
    return run_node(node, *arguments)

@contextmanager
def replacing_with_a_press(path):
    with replacing(path) as partial:
        yield partial
        if kind == "save" and path.name == place[0]:
            assert partial.exists()
            next(presses, lambda: None)()

Node.run, local_dataset.replacing = run_node_that_presses, replacing_with_a_press
from kedro.framework.cli.cli import main
main()
"""

STEP = "minigpt_pipeline.model.training_loop make_language_model_pairs"
AGAIN = "it comes to the same end"
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (INFO|WARNING) .*")
DATA = "data/test"


@pytest.fixture(scope="module")
def prepared(make_project: Callable[[str], Path]) -> Path:
    """A project in which everything ran."""
    project = make_project("prepared")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(project)
        kedro_run(project)
    return project


def kedro_run(project: Path, *arguments: str) -> None:
    """Run in this process, which has loaded all that takes seconds."""
    bootstrap_project(project)
    result = CliRunner().invoke(run, ["--env", "test", *arguments])
    assert result.exit_code == 0, result.output


def interrupt(project: Path, moment: str, *arguments: str) -> list[str]:
    """Run in a process that is interrupted; return what it says behind its log."""
    result = subprocess.run(
        [sys.executable, "-c", LAUNCH, moment, "run", "--env", "test", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 130, result.stderr
    assert result.stdout == ""
    return [line for line in result.stderr.splitlines() if not LOG_LINE.fullmatch(line)]


def remove_outputs(project: Path, pipeline: str) -> None:
    """Remove what a pipeline has made, so that it is seen whether it makes it again."""
    outputs = register_pipelines()[pipeline].all_outputs()
    for path in (project / DATA).glob("*/*"):
        if path.is_file() and path.name.split(".")[0] in outputs:
            path.unlink()


def list_statuses(project: Path) -> list[str]:
    """Return the status of each MLflow run, the oldest first."""
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'minigpt'")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    return [one.info.status for one in runs]


def assert_nothing_is_half_written(project: Path) -> None:
    assert not [path for path in project.rglob("*") if re.search(r"\.(partial|old)", path.name)]


CASES = [
    ("ingestion", "work read_reviews minigpt_pipeline.text.imdb decode", AGAIN),
    ("validation", "save reviews.parquet", AGAIN),
    # On threads, while the main one waits.
    (
        "vectorization",
        "work encode_reviews minigpt_pipeline.text.encoding split_words",
        AGAIN,
    ),
    ("training", f"work train_model {STEP}", "training goes on behind step 1 of 20"),
]
FURTHER_CASES = [
    ("ingestion", "save raw_reviews.parquet", AGAIN),
    ("validation", "work check_reviews minigpt_pipeline.expectations.review_check judge_rows", AGAIN),
    ("vectorization", "save train_token_ids.parquet", AGAIN),
    ("training", "save trained_model.keras", AGAIN),
    ("evaluation", "work evaluate_model minigpt_pipeline.pipelines.evaluation.nodes summarize_losses", AGAIN),
    ("evaluation", "save evaluation_metrics.json", AGAIN),
    ("generation", "work measure_quality minigpt_pipeline.model.generation write_group", AGAIN),
    ("generation", "save generated_samples.parquet", AGAIN),
]


@pytest.mark.parametrize(
    ("pipeline", "moment", "what_next"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.full) for case in FURTHER_CASES)],
    ids=lambda value: " ".join(value.split()[:2]),
)
def test_a_pipeline_is_interrupted_and_comes_to_the_same_end(
    project: Path,
    prepared: Path,
    read_files: Callable[[Path], dict[str, bytes]],
    pipeline: str,
    moment: str,
    what_next: str,
) -> None:
    remove_outputs(project, pipeline)
    left, expected = read_files(project), read_files(prepared)
    assert left.keys() < expected.keys()

    said = interrupt(project, moment, "--pipelines", pipeline)

    message = f"Interrupted: all files are whole, old or new. Run the same command again, and {what_next}."
    assert said == [message]
    assert_nothing_is_half_written(project)
    made = {name: content for name, content in read_files(project).items() if "/checkpoints/" not in name}
    assert made.items() <= expected.items()
    statuses = list_statuses(project)
    assert statuses.count("KILLED") == 1
    assert set(statuses) <= {"KILLED", "FINISHED"}

    kedro_run(project, "--pipelines", pipeline)

    assert read_files(project) == expected
    assert list_statuses(project)[-1] == "FINISHED"


@pytest.mark.full
@pytest.mark.parametrize("moment", [f"work search_parameters {STEP}", "save sweep_trials.parquet"])
def test_a_search_is_interrupted_and_goes_on(project: Path, moment: str) -> None:
    (message,) = interrupt(project, moment, "--pipelines", "sweep")

    what_next = "the search goes on; trials done so far: 0" if moment.startswith("work") else AGAIN
    assert message.endswith(f"Run the same command again, and {what_next}.")
    assert_nothing_is_half_written(project)
    statuses = list_statuses(project)
    assert "KILLED" in statuses
    assert set(statuses) <= {"KILLED", "FINISHED"}

    kedro_run(project, "--pipelines", "sweep")

    trials = pd.read_parquet(project / DATA / "07_model_output/sweep_trials.parquet")
    assert trials["state"].isin(["complete", "pruned"]).sum() == 3
    assert trials["reason"].tolist().count("interrupted") == moment.startswith("work")


@pytest.mark.full
@pytest.mark.parametrize(
    "moment",
    [
        "work render_comparison minigpt_pipeline.pipelines.comparison.nodes render_page",
        "save comparison.html",
    ],
)
def test_a_comparison_is_interrupted_and_made_again(project: Path, moment: str) -> None:
    arguments = ["--pipelines", "comparison", "--params", "comparison.runs=last"]

    (message,) = interrupt(project, moment, *arguments)

    assert message.endswith(f"Run the same command again, and {AGAIN}.")
    assert_nothing_is_half_written(project)
    assert not list((project / "data").rglob("comparison.html"))
    assert list_statuses(project)[-1] == "KILLED"
    kedro_run(project, *arguments)
    assert list((project / "data").rglob("comparison.html"))


@pytest.mark.full
@pytest.mark.parametrize(
    "moment",
    [
        "work decide_promotion minigpt_pipeline.pipelines.promotion.nodes decide",
        "save promotion_decision.json",
    ],
)
def test_a_decision_is_interrupted_and_made_again(project: Path, moment: str) -> None:
    (message,) = interrupt(project, moment, "--pipelines", "promotion")

    assert message.endswith(f"Run the same command again, and {AGAIN}.")
    assert_nothing_is_half_written(project)
    registry = ModelRegistry("minigpt", mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}"))
    assert registry.aliases() == {"challenger": "1"}
    kedro_run(project, "--pipelines", "promotion")
    assert registry.aliases() == {"champion": "1"}
