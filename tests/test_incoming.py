"""New data as an operator drops it: what `kedro run` makes of it, and what training sees."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from minigpt_pipeline.datasets.reviews_archive_dataset import stream_members
from minigpt_pipeline.text.imdb import parse_reviews
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews, write_archive
from tests.expectations.test_incoming_batch import POISONS

pytestmark = pytest.mark.slow

ENVIRONMENT = "test"
DATA = f"data/{ENVIRONMENT}"


def kedro_run(project: Path, *pipelines: str, parameters: dict[str, Any] | None = None) -> None:
    bootstrap_project(project)
    with KedroSession.create(project, env=ENVIRONMENT, runtime_params=parameters) as session:
        session.run(pipeline_names=list(pipelines))


@pytest.fixture(scope="module")
def with_token_ids(make_project: Callable[[str], Path]) -> Path:
    """A project that has token ids of the embedded corpus."""
    project = make_project("new_data")
    kedro_run(project, "data")
    return project


@pytest.fixture
def project(with_token_ids: Path, tmp_path: Path) -> Path:
    """A copy of it for each test."""
    copy = tmp_path / "project"
    shutil.copytree(with_token_ids, copy, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts"))
    return copy


def drop(project: Path, name: str, reviews: pd.DataFrame) -> Path:
    path = project / "data/01_raw/incoming" / name
    reviews.to_json(path, orient="records", lines=True, force_ascii=False)
    return path


def write_reviews(num_reviews: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame({"text": [review.text for review in fresh_reviews(num_reviews, seed)]})


def read_report(project: Path) -> dict[str, dict[str, Any]]:
    report = json.loads((project / DATA / "08_reporting/incoming_report.json").read_text())
    return {batch["name"]: batch for batch in report["batches"]}


def list_ids(project: Path, file: str) -> pd.Series:
    return pq.read_table(project / DATA / file, columns=["review_id"])["review_id"].to_pandas()


def read_files(project: Path) -> dict[str, bytes]:
    paths = (path for path in (project / DATA).rglob("*.parquet") if "01_raw" not in path.parts)
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in paths}


def test_real_reviews_reach_training_and_poisoned_ones_do_not(project: Path, imdb_archive: Path) -> None:
    reviews = parse_reviews(stream_members(imdb_archive), include_unlabelled=False)
    some = reviews.sample(1000, random_state=2)[["text", "label", "rating", "movie_id"]]
    drop(project, "clean.jsonl", some)
    for name, (poison, _, _) in POISONS.items():
        drop(project, f"{name}.jsonl", poison(write_reviews(200, seed=len(name))))

    kedro_run(project, "incoming", "data")

    report = read_report(project)
    assert {name for name, batch in report.items() if batch["outcome"] == "accepted"} == {"clean.jsonl"}
    for name, (_, rule, reason) in POISONS.items():
        batch = report[f"{name}.jsonl"]
        assert any(line.startswith(f"{rule}: ") for line in batch["reasons"])
        assert reason in batch["reviews"]["rejected_by_reason"]
        folder = project / DATA / "01_raw/quarantine" / batch["batch_id"]
        assert {path.name for path in folder.iterdir()} == {"original", "report.json", "report.html"}
        assert json.loads((folder / "report.json").read_text()) == batch
    reviews = pd.read_parquet(project / DATA / "03_primary/reviews.parquet")
    new = reviews[reviews["review_id"].str.startswith("new/")]
    assert 990 < len(new) == report["clean.jsonl"]["reviews"]["taken"]
    assert set(new["text"]) <= set(some["text"])
    assert new["movie_id"].isin(some["movie_id"]).all()
    assert list_ids(project, "05_model_input/train_token_ids.parquet").str.startswith("new/").sum() > 700
    assert not any((project / "data/01_raw/incoming").glob("[!.]*"))


def test_a_run_logs_what_came_and_how_far_it_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop(project, "more.jsonl", write_reviews(200, seed=5))

    kedro_run(project, "incoming")

    batch = read_report(project)["more.jsonl"]
    assert batch["outcome"] == "accepted"
    assert batch["drift"]["warnings"] == {}
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    (run,) = mlflow.search_runs(experiment_names=["minigpt"], output_format="list")
    assert run.data.metrics == {
        f"drift/{name}": pytest.approx(value) for name, value in batch["drift"]["figures"].items()
    }
    assert run.data.metrics["drift/new_word_share"] < 0.01
    files = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "incoming")}
    assert files == {"incoming/incoming_report.json", "incoming/incoming.html"}
    printed = capsys.readouterr().out
    assert "more.jsonl: accepted, 200 of 200 reviews taken" in printed
    assert "incoming.html" in printed


def test_without_new_data_files_are_the_same_bit_for_bit(project: Path) -> None:
    before = read_files(project)

    kedro_run(project, "incoming", "data")

    assert len(before) == 6
    assert read_files(project) == before
    assert read_report(project) == {}


def test_the_same_data_twice_is_taken_once(project: Path) -> None:
    path = drop(project, "more.jsonl", write_reviews(100, seed=6))
    copy = path.read_bytes()
    kedro_run(project, "incoming", "data")
    before = read_files(project)

    path.write_bytes(copy)
    path.with_name("renamed.jsonl").write_bytes(copy)
    kedro_run(project, "incoming", "data")

    report = read_report(project)
    assert report["more.jsonl"]["outcome"] == "taken before"
    assert report["renamed.jsonl"]["outcome"] == "quarantined"
    assert report["renamed.jsonl"]["reasons"] == ["All 100 texts are known already: nothing is new"]
    assert read_files(project) == before


def test_a_project_in_which_nothing_has_run_takes_new_data_in(make_project: Callable[[str], Path]) -> None:
    project = make_project("fresh")
    write_archive(project / "data/01_raw/incoming/more.tar.gz", 200, seed=8)
    (project / "data/01_raw/incoming/broken.tar.gz").write_bytes(b"\x1f\x8bnothing")
    (project / "data/01_raw/incoming/photo.jpg").write_bytes(b"\xff")

    kedro_run(project, "incoming", "ingestion")

    report = read_report(project)
    assert {name: batch["outcome"] for name, batch in report.items()} == {
        "more.tar.gz": "accepted",
        "broken.tar.gz": "quarantined",
        "photo.jpg": "quarantined",
    }
    assert report["more.tar.gz"]["drift"] is None
    assert list_ids(project, "02_intermediate/raw_reviews.parquet").str.startswith("new/").sum() == 200


@pytest.mark.full
def test_other_films_than_the_grammar_s_leave_its_loss_out(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [
        f"{text} Nothing of this is made up: I paid for it." for text in write_reviews(200, seed=9)["text"]
    ]
    drop(project, "others.jsonl", pd.DataFrame({"text": texts}))

    with caplog.at_level(logging.INFO):
        kedro_run(project, "incoming", "data")
        kedro_run(project, "training", "evaluation")

    metrics = json.loads((project / DATA / "08_reporting/evaluation_metrics.json").read_text())
    assert "test/loss" in metrics
    assert "test/source_loss" not in metrics
    assert "its loss is left out" in caplog.text
