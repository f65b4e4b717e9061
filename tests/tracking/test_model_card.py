import re

import mlflow
import pytest

from minigpt_pipeline.tracking.model_card import FIGURES, SIZES, find_corpus, render_model_card

PARAMETERS = {
    "ingestion.documents": "null",
    "vectorization.vocabulary_size": 20_000,
    "vectorization.tokenizer": "word",
    "vectorization.split.train": 0.9,
    "vectorization.split.validation": 0.05,
    "vectorization.split.test": 0.05,
    "model.sequence_length": 128,
    "model.num_blocks": 3,
}
METRICS = {"test/perplexity": 51.2, "test/perplexity_low": 50.05, "test/perplexity_high": 52.346}


def render(run_id: str) -> str:
    return render_model_card(mlflow.get_run(run_id))


def test_the_card_has_what_the_run_has_logged(run_id: str) -> None:
    mlflow.log_params(PARAMETERS)
    mlflow.log_metrics(METRICS)
    mlflow.set_tags({"environment": "base", "git_commit": "abc1234"})

    card = render(run_id)

    assert "environment `base`, commit `abc1234`" in card
    assert "| blocks | 3 |" in card
    assert "| perplexity | 51.20 (50.05 to 52.35) |" in card
    assert "training (90%), validation (5%) and test (5%)" in card
    assert "It sees 128 tokens" in card
    assert "Maas et al." in card
    assert f'load_model("runs:/{run_id}/model")' in card


def test_a_model_that_was_not_measured_says_how_to(run_id: str) -> None:
    mlflow.log_params(PARAMETERS)
    mlflow.set_tag("environment", "base")

    assert "Not measured yet: `kedro run --pipelines evaluation --env base`." in render(run_id)


@pytest.mark.parametrize(
    ("parameters", "corpus", "limit"),
    [
        ({"evaluation.known_source": "None"}, "imdb", "before 2011"),
        ({"evaluation.known_source": "synthetic_reviews"}, "synthetic", "come from a grammar"),
        ({"ingestion.documents.text_column": "text"}, "own", "secrets too: 12.5% of its 8-grams"),
    ],
)
def test_data_and_limits_are_those_of_the_corpus(
    parameters: dict[str, str], corpus: str, limit: str, run_id: str
) -> None:
    mlflow.log_params(parameters)
    mlflow.log_metric("gen/copied_8gram_share", 0.125)

    assert find_corpus(parameters) == corpus
    assert limit in render(run_id)


def test_the_tables_of_a_card_are_whole(run_id: str) -> None:
    """A blank line in a Markdown table ends it."""
    mlflow.log_params({name: "1" for _, name in SIZES})
    mlflow.log_metrics({name: 1.0 for _, name, _ in FIGURES})

    tables = [part for part in re.split(r"\n\n+", render(run_id)) if part.startswith("| ")]

    assert [table.count("\n| ") for table in tables] == [len(SIZES), len(FIGURES)]
