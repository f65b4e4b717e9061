from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.datasets import PageDataset
from minigpt_pipeline.tracking.run_summary import print_summary

METRICS = {
    "test/loss": 2.1612,
    "test/perplexity": 8.68,
    "test/perplexity_low": 8.51,
    "test/perplexity_high": 8.84,
    "test/kneser_ney_perplexity": 11.37,
    "test/unk_rate": 0.021,
}
QUALITY = {
    "gen/seq_rep_4": 0.0071,
    "gen/human_seq_rep_4": 0.0023,
    "gen/distinct_2": 0.4213,
    "gen/human_distinct_2": 0.5471,
    "gen/kneser_ney_perplexity": 61.27,
}
SAMPLES = pd.DataFrame(
    {
        "prompt": ["the best"] * 6 + ["other"],
        "text": "as the model writes it",
        "readable_text": [f"The best [bold]{number}[/bold]" for number in range(6)] + ["other"],
    }
)


def make_nothing() -> int:
    return 0


def test_it_says_where_the_page_of_a_comparison_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = Pipeline([Node(make_nothing, inputs=None, outputs="comparison_page", name="make_nothing")])
    page = tmp_path / "a page.html"

    print_summary(
        pipeline, DataCatalog({"comparison_page": PageDataset(filepath=str(page))}), "run-id", "a store"
    )

    assert page.as_uri() in capsys.readouterr().out


def summarize(*saved: str, metrics: dict[str, float] = METRICS, quality: dict[str, float] = QUALITY) -> None:
    pipeline = Pipeline([Node(make_nothing, inputs=None, outputs=name, name=name) for name in saved])
    catalog = DataCatalog(
        {
            "evaluation_metrics": MemoryDataset(metrics),
            "quality_metrics": MemoryDataset(quality),
            "generated_samples": MemoryDataset(SAMPLES),
        }
    )
    print_summary(pipeline, catalog, "run-id", "sqlite:///mlflow.db")


def test_it_says_where_the_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("raw_reviews")

    out = capsys.readouterr().out
    assert "run-id in sqlite:///mlflow.db: make ui shows it" in out
    assert "perplexity" not in out


def test_it_shows_the_loss_beside_the_known_entropy(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("evaluation_metrics", metrics=METRICS | {"test/source_loss": 2.0392, "test/excess_loss": 0.122})

    out = capsys.readouterr().out
    for figure in ("2.1612", "2.0392", "0.1220", "8.68", "8.51", "8.84", "11.37", "2.10%", "[UNK]"):
        assert figure in out


def test_it_shows_no_entropy_where_none_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("evaluation_metrics")

    assert "entropy" not in capsys.readouterr().out


def test_it_shows_figures_of_texts_beside_peoples(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("quality_metrics")

    out = capsys.readouterr().out
    for figure in ("0.71%", "0.23%", "42.1%", "54.7%", "61.3"):
        assert figure in out


def test_it_shows_no_figures_of_texts_where_none_were_measured(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("quality_metrics", quality={})

    assert "people" not in capsys.readouterr().out


def test_it_shows_five_texts_of_the_first_prompt_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("generated_samples")

    out = capsys.readouterr().out
    assert "5) The best [bold]4[/bold]" in out
    assert "6)" not in out
    assert "other" not in out
