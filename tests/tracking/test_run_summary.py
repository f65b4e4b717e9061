from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from rich.console import Console

from minigpt_pipeline.datasets import JsonDataset, PageDataset, TextFileDataset, TrainedModelDataset
from minigpt_pipeline.tracking.run_summary import print_decision, print_summary

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

TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3],
        "state": ["complete", "pruned", "complete", "refused"],
        "loss": [4.5, 4.1, 4.25, None],
        "seconds": [60.0, 20.0, 61.0, 0.1],
        "reason": ["", "given up at step 300", "", "no"],
        "retries": pd.array([None] * 4, "Int64"),
        "training.optimizer.learning_rate": ["0.1", "0.02", "1e-05", "0.3"],
        "model.head_dim": ["32", "32", "null", ""],
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


def summarize(
    *saved: str,
    metrics: dict[str, float] = METRICS,
    quality: dict[str, float] = QUALITY,
    environment: str | None = None,
) -> None:
    pipeline = Pipeline([Node(make_nothing, inputs=None, outputs=name, name=name) for name in saved])
    catalog = DataCatalog(
        {
            "evaluation_metrics": MemoryDataset(metrics),
            "quality_metrics": MemoryDataset(quality),
            "generated_samples": MemoryDataset(SAMPLES),
        }
    )
    print_summary(pipeline, catalog, "run-id", "sqlite:///mlflow.db", environment)


def test_it_says_where_the_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("raw_reviews")

    out = capsys.readouterr().out
    assert "run run-id in sqlite:///mlflow.db\n" in out
    assert "perplexity" not in out


def test_it_shows_the_loss_beside_the_known_entropy(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("evaluation_metrics", metrics=METRICS | {"test/source_loss": 2.0392, "test/excess_loss": 0.122})

    out = capsys.readouterr().out
    for figure in ("2.1612", "2.0392", "0.1220", "8.68", "8.51", "8.84", "11.37", "2.10%", "[UNK]"):
        assert figure in out


def test_it_shows_no_entropy_where_none_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("evaluation_metrics")

    assert "entropy" not in capsys.readouterr().out


def test_it_shows_bits_per_character_where_they_were_measured(capsys: pytest.CaptureFixture[str]) -> None:
    ends = {"test/bits_per_character_low": 1.2708, "test/bits_per_character_high": 1.2874}
    summarize("evaluation_metrics", metrics=METRICS | {"test/bits_per_character": 1.2791} | ends)

    (line,) = [line for line in capsys.readouterr().out.splitlines() if "bits per character" in line]
    assert "1.279, 95 % interval 1.271 to 1.287" in line
    summarize("evaluation_metrics")
    assert "bits per character" not in capsys.readouterr().out


def test_it_shows_what_a_search_has_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "[a]" / "best_parameters.yml"
    names = ["sweep_trials", "best_parameters"]
    pipeline = Pipeline([Node(make_nothing, inputs=None, outputs=name, name=name) for name in names])
    best = TextFileDataset(filepath=str(path))

    print_summary(
        pipeline,
        DataCatalog({"sweep_trials": MemoryDataset(TRIALS), "best_parameters": best}),
        "run-id",
        "a store",
    )

    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    assert rows == [
        ["trials", "2 complete, 1 pruned, 1 refused"],
        ["lowest validation loss", "4.2500 nats a word, of trial 2"],
        ["training.optimizer.learning_rate", "1e-05"],
        ["model.head_dim", "null"],
    ]
    assert f"Found   {path}" in out
    assert "Next    the second line of what was found is the command" in out


def test_it_says_where_the_files_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, model = tmp_path / "[a] page.html", tmp_path / "model.keras"
    datasets = {
        "validation_page": PageDataset(filepath=str(page)),
        "trained_model": TrainedModelDataset(filepath=str(model)),
    }
    pipeline = Pipeline([Node(make_nothing, inputs=None, outputs=name, name=name) for name in datasets])

    print_summary(pipeline, DataCatalog(datasets), "run-id", "a store")

    out = capsys.readouterr().out
    assert f"Checks  {page.as_uri()}\n" in out
    assert f"Model   {model}\n" in out


def test_it_says_what_became_of_each_batch_of_new_data(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"read": 10, "taken": 9, "rejected_by_reason": {"known": 1}}
    good = {"name": "[a].csv", "outcome": "accepted", "reviews": counts, "reasons": [], "warnings": []}
    poor = {
        "name": "b.csv",
        "outcome": "quarantined",
        "reviews": counts | {"taken": 0},
        "warnings": ["odd labels"],
    }
    batches = [
        good | {"drift": {"figures": {}, "warnings": {"unk_rate": "the share of [UNK] has risen"}}},
        poor | {"reasons": ["nothing is new"], "drift": None},
    ]
    pipeline = Pipeline([Node(make_nothing, inputs=None, outputs="incoming_report", name="make_nothing")])

    print_summary(
        pipeline, DataCatalog({"incoming_report": MemoryDataset({"batches": batches})}), "run-id", "a store"
    )

    assert capsys.readouterr().out.splitlines()[:6] == [
        "New data",
        "[a].csv: accepted, 9 of 10 reviews taken (1 known)",
        "  the share of [UNK] has risen",
        "b.csv: quarantined, 0 of 10 reviews taken (1 known)",
        "  nothing is new",
        "  odd labels",
    ]


@pytest.mark.parametrize(
    ("saved", "step"),
    [
        (["raw_reviews"], "`kedro run --pipelines validation --env sample`"),
        (["raw_reviews", "reviews", "train_token_ids"], "`kedro run --pipelines training --env sample`"),
        (["trained_model"], "`kedro run --pipelines evaluation,generation --env sample`"),
        (["trained_model", "evaluation_metrics", "generated_samples"], "`make ui` shows curves and texts"),
    ],
)
def test_it_says_what_can_be_done_next(
    saved: list[str], step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    summarize(*saved, environment="sample")

    assert capsys.readouterr().out.splitlines()[-1].startswith(f"Next    {step}")


def test_it_shows_figures_of_texts_beside_peoples(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("quality_metrics")

    out = capsys.readouterr().out
    for figure in ("0.71%", "0.23%", "42.1%", "54.7%", "61.3"):
        assert figure in out


def test_it_shows_no_figures_of_texts_where_none_were_measured(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("quality_metrics", quality={})

    assert "people" not in capsys.readouterr().out


DECISION: dict[str, Any] = {
    "outcome": "kept",
    "champion": "2",
    "reasons": ["Version 1 can't be used", "Version 3 is worse [bold]than[/bold] version 2"],
    "candidate": {"version": "3", "figures": {"perplexity": 88.76543, "seq_rep_4": None}},
    "incumbents": [
        {"version": "2", "in_use": True, "figures": {"perplexity": 87.5}},
        {"version": "1", "in_use": False, "figures": {}},
    ],
}


@pytest.mark.parametrize(
    ("outcome", "champion", "said"),
    [
        ("promoted", "3", "Version 3 is in use from now on"),
        ("kept", "2", "Version 2 stays in use"),
        ("restored", "1", "Version 1 is in use again"),
        ("vacant", None, "No version is in use"),
    ],
)
def test_it_says_what_was_decided_on_what_figures_and_why(
    outcome: str, champion: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_decision(Console(width=100), DECISION | {"outcome": outcome, "champion": champion})

    out = capsys.readouterr().out
    rows = [
        [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]
        for line in out.splitlines()
        if line[:1] in {"│", "┃"}
    ]
    assert rows == [
        ["", "version 3,", "version 2,", "version 1,"],
        ["", "candidate", "champion", "champion before"],
        ["perplexity", "88.765", "87.5", ""],
        ["seq_rep_4", "", "", ""],
    ]
    assert out.splitlines()[-3:] == [said, *(f"  {reason}" for reason in DECISION["reasons"])]


def test_a_decision_without_figures_has_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    settled = DECISION | {"candidate": {"version": "3", "figures": {}}, "incumbents": []}

    print_decision(Console(), settled)

    assert "candidate" not in capsys.readouterr().out


def test_the_decision_of_a_run_is_shown_with_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = JsonDataset(filepath=str(tmp_path / "promotion_decision.json"))
    record.save(DECISION)
    pipeline = Pipeline([Node(make_nothing, inputs=None, outputs="promotion_decision", name="make_nothing")])

    print_summary(pipeline, DataCatalog({"promotion_decision": record}), "run-id", "a store")

    out = capsys.readouterr().out
    assert "Version 2 stays in use" in out
    assert f"Record  {tmp_path / 'promotion_decision.json'}" in out
    assert out.splitlines()[-1].startswith("Next    `make versions` lists all, `make rollback` puts")


def test_it_shows_five_texts_of_the_first_prompt_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    summarize("generated_samples")

    out = capsys.readouterr().out
    assert "5) The best [bold]4[/bold]" in out
    assert "6)" not in out
    assert "other" not in out
