"""A folder of one's own text files, from text to samples with two settings."""

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.full
def test_documents_become_a_model_that_writes(make_project: Callable[[str], Path]) -> None:
    project = make_project("own")
    settings = {"texts": str(DOCS), "ingestion": {"documents": {"one_document": "block"}}}
    quick = {
        "training": {"max_steps": 10, "batch_size": 8},
        "generation": {"quality_texts": 8, "whole_texts": None},
    }
    bootstrap_project(project)
    with KedroSession.create(project, env="own_text", runtime_params=settings | quick) as session:
        session.run()

    data = project / "data/own_text"
    report = json.loads((data / "08_reporting/validation_report.json").read_text())
    reviews = pd.read_parquet(data / "03_primary/reviews.parquet")
    samples = pd.read_parquet(data / "07_model_output/generated_samples.parquet")
    assert {"name": "labels_are_balanced", "reason": "no value in label"} in report["skipped"]
    assert len(reviews) > 200
    assert reviews["review_id"].str.match(r"(adr/)?[\w-]+\.md#\d+").all()
    assert samples["prompt"].unique().tolist() == ["the", "it is", "a"]

    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert "secrets too" in mlflow.artifacts.load_text(f"{run.info.artifact_uri}/model_card.md")
