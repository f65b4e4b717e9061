"""MLflow's pages, as `make ui` serves them, show what runs have logged."""

import json
import re
from collections.abc import Callable

import mlflow
import pytest
from mlflow.entities import Run
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.full

PERPLEXITY = "test/perplexity"
LEARNING_RATE = "training.optimizer.learning_rate"
MODELS_ONLY = 'tags.pipeline != "comparison"'
COUNT_COLOURS = """count => {
  const lines = [...document.querySelectorAll(".scatterlayer .js-line")].filter(line => line.getAttribute("d"));
  return new Set(lines.map(line => line.style.stroke)).size === count;
}"""
KeepPicture = Callable[..., None]
Open = Callable[[str], None]


@pytest.fixture
def open_page(page: Page, mlflow_pages: str) -> Open:
    """Open a place of MLflow's one page."""
    server = mlflow_pages.partition("#")[0]
    return lambda place: page.goto(f"{server}#{place}") and None


def choose_columns(page: Page, *names: str) -> None:
    """Show columns of the runs' table that are hidden, and hide those that are shown."""
    page.get_by_role("button", name="Columns").click()
    for name in names:
        page.get_by_placeholder("Search columns").fill(name)
        page.locator("[class*=tree-title]").filter(has_text=re.compile(f"^{re.escape(name)}$")).click()
    page.keyboard.press("Escape")


def select(runs: list[Run]) -> str:
    return f'runs={json.dumps([run.info.run_id for run in runs])}&experiments=["1"]'


def find_column(page: Page, name: str) -> Locator:
    return page.locator(f'[role=gridcell][col-id$="`{name}`"]')


def read_first_texts(run: Run) -> dict[str, str]:
    """Each prompt with the first text that a run has written for it."""
    table = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/samples/generated.json"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    return {row["prompt"]: row["readable_text"] for row in reversed(rows)}


def test_the_link_of_make_ui_opens_the_runs_with_their_figures(
    page: Page, mlflow_pages: str, runs: list[Run], keep_picture: KeepPicture
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(mlflow_pages)
    for run in runs:
        expect(page.get_by_role("link", name=run.info.run_name, exact=True)).to_be_visible()

    choose_columns(page, "Dataset", "Source", "Models", PERPLEXITY, LEARNING_RATE)

    newest_first = [run.data for run in reversed(runs)]
    expect(find_column(page, PERPLEXITY)).to_have_text(
        ["-", *(str(r.metrics[PERPLEXITY]) for r in newest_first)]
    )
    expect(find_column(page, LEARNING_RATE)).to_have_text(
        ["-", *(r.params[LEARNING_RATE] for r in newest_first)]
    )
    assert [
        url for url in requests if not url.startswith((mlflow_pages.partition("#")[0], "data:", "blob:"))
    ] == []
    keep_picture(page, "mlflow_runs", {"x": 0, "y": 0, "width": 1200, "height": 400})


def test_two_runs_are_compared_by_the_parameters_that_differ(
    page: Page, open_page: Open, runs: list[Run]
) -> None:
    open_page(f"/compare-runs?{select(runs)}")
    page.get_by_role("switch", name="Parameters - Show diff only").click()

    different = page.get_by_role("row").filter(has_text="training.")

    expect(different).to_have_count(1)
    expect(different.get_by_role("rowheader")).to_have_text(LEARNING_RATE)
    expect(different.get_by_role("cell")).to_have_text([run.data.params[LEARNING_RATE] for run in runs])


@pytest.mark.parametrize("metric", ["train/loss", "val/loss"])
def test_two_runs_are_compared_by_their_curves(
    page: Page, open_page: Open, runs: list[Run], metric: str
) -> None:
    open_page(f'/metric?{select(runs)}&metric="{metric}"&plot_metric_keys=["{metric}"]')

    page.wait_for_function(COUNT_COLOURS, arg=len(runs))  # each run is drawn twice, smoothed and not
    for run in runs:
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=run.info.run_name, exact=True))
        expect(row).to_contain_text(str(run.data.metrics[metric]))


def test_runs_are_compared_by_their_texts_for_the_same_prompts(
    page: Page, open_page: Open, runs: list[Run], keep_picture: KeepPicture
) -> None:
    page.set_viewport_size({"width": 1600, "height": 960})
    open_page(
        f"/experiments/1/runs?compareRunsMode=ARTIFACT&searchFilter={MODELS_ONLY}&workflowType=machine_learning"
    )

    for run in runs:
        for prompt, text in read_first_texts(run).items():
            expect(page.get_by_text(prompt, exact=True)).to_be_visible()
            expect(page.get_by_text(text)).to_be_visible()
    keep_picture(page, "mlflow_texts", {"x": 516, "y": 140, "width": 940, "height": 680})


def test_the_texts_of_a_run_are_a_table(page: Page, open_page: Open, runs: list[Run]) -> None:
    run = runs[0]
    open_page(f"/experiments/1/runs/{run.info.run_id}/artifacts/samples/generated.json")

    expect(page.get_by_role("columnheader")).to_contain_text(["prompt", "readable_text"])
    for prompt, text in read_first_texts(run).items():
        row = page.get_by_role("row").filter(has_text=text)
        expect(row).to_contain_text(prompt)


def test_the_card_of_a_model_is_on_its_run_and_on_the_model(
    page: Page, open_page: Open, runs: list[Run]
) -> None:
    run = runs[0]
    (model,) = run.outputs.model_outputs
    for place in (
        f"/experiments/1/runs/{run.info.run_id}/artifacts/model_card.md",
        f"/experiments/1/models/{model.model_id}",
        f"/experiments/1/runs/{run.info.run_id}",
    ):
        open_page(place)
        expect(page.get_by_role("heading", name=f"Model card: {run.info.run_name}")).to_be_visible()
        row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="perplexity", exact=True))
        expect(row).to_contain_text(f"{run.data.metrics[PERPLEXITY]:.2f} (")
