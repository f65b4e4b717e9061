import mlflow
import pytest

from minigpt_pipeline.tracking.parameter_logging import log_parameters, read_parameters


def test_log_parameters_logs_them_once(run_id: str) -> None:
    log_parameters({"model.embed_dim": "256"})
    log_parameters({"model.embed_dim": "256", "model.num_heads": "2"})

    assert mlflow.get_run(run_id).data.params == {"model.embed_dim": "256", "model.num_heads": "2"}


def test_log_parameters_keeps_the_first_value_and_tells_the_last(
    run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    log_parameters({"generation.sampling.temperature": "1.0"})
    log_parameters({"generation.sampling.temperature": "0.5"})

    run = mlflow.get_run(run_id).data
    assert run.params == {"generation.sampling.temperature": "1.0"}
    assert run.tags["last.generation.sampling.temperature"] == "0.5"
    assert "keeps it" in caplog.text


def test_the_last_value_is_told_also_where_the_first_one_comes_back(run_id: str) -> None:
    for temperature in ("1.0", "0.5", "1.0"):
        log_parameters({"generation.sampling.temperature": temperature})

    assert mlflow.get_run(run_id).data.tags["last.generation.sampling.temperature"] == "1.0"


def test_read_parameters_gives_what_the_model_was_made_with_and_its_figures_were_measured_with() -> None:
    first = {"generation.sampling.top_k": "10", "evaluation.seed": "1", "vectorization.vocabulary_size": "50"}
    tags = {
        "last.generation.sampling.top_k": "null",
        "last.evaluation.seed": "2",
        "last.vectorization.vocabulary_size": "40",  # of data made since, which evaluation has refused
        "seed": "3",
    }

    assert read_parameters(first, tags) == {
        "generation.sampling.top_k": "null", "evaluation.seed": "2", "vectorization.vocabulary_size": "50"
    }  # fmt: skip
