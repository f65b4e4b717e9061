from datetime import UTC, datetime

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.comparison.model_run import ModelRun, RunSummary
from minigpt_pipeline.comparison.selection import RunSelectionError
from minigpt_pipeline.parameters import ComparisonParameters
from minigpt_pipeline.pipelines.comparison import create_pipeline


class ListedRuns:
    """A `ModelRunStore` that remembers which runs were read whole."""

    address = "a list"
    read_at = datetime(2026, 11, 24, tzinfo=UTC)

    def __init__(self) -> None:
        self.read: list[str] = []

    def list_runs(self) -> list[RunSummary]:
        return [
            RunSummary(run_id, f"run {run_id}", "FINISHED", self.read_at) for run_id in ("cc", "bb", "aa")
        ]

    def read_run(self, run_id: str) -> ModelRun:
        self.read.append(run_id)
        return ModelRun(RunSummary(run_id, f"run {run_id}", "FINISHED", self.read_at))


def compare(runs: str) -> tuple[str, ListedRuns]:
    store = ListedRuns()
    catalog = DataCatalog(
        {
            "model_runs": MemoryDataset(store, copy_mode="assign"),
            "params:comparison": MemoryDataset(ComparisonParameters(runs=runs, texts_per_prompt=1)),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    return outputs["comparison_page"].load(), store


def test_the_pipeline_shows_the_runs_in_the_order_in_which_they_were_named() -> None:
    page, store = compare("cc aa")

    assert store.read == ["cc", "aa"]
    assert page.index("run cc") < page.index("run aa")
    assert "run bb" not in page


def test_a_run_that_is_not_there_stops_the_pipeline_before_any_is_read() -> None:
    with pytest.raises(RunSelectionError, match="No run of a model in a list has 'dd'"):
        compare("aa dd")
