from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.pipelines.training.nodes import train_model

Outputs = tuple[TrainedModel, pd.DataFrame, pd.DataFrame]


@pytest.fixture
def run(training_inputs: dict[str, Any]) -> Callable[[], Outputs]:
    def run() -> Outputs:
        return train_model(**{name.removeprefix("params:"): value for name, value in training_inputs.items()})

    return run


def test_train_model_says_how_the_model_was_trained(
    run: Callable[[], Outputs], training_inputs: dict[str, Any]
) -> None:
    trained_model, history, speed = run()

    assert trained_model.vocabulary == training_inputs["vocabulary"]
    expected = {
        "seed": 3,
        "device": "CPU",
        "precision": "float32",
        "epochs": 2,
        "steps": 4,
        "ended_by": "max_steps",
    }
    assert expected.items() <= trained_model.metadata.items()
    assert history.columns.tolist() == ["epoch", "step", "words", "name", "value"]
    assert speed.columns.tolist() == ["step", "seconds", "tokens_per_second"]
    assert {row["epoch"] for row in training_inputs["training_log"].samples} == {1}


def test_train_model_gives_the_same_again(run: Callable[[], Outputs]) -> None:
    (first, first_history, _), (again, history_again, _) = run(), run()

    assert first == again
    pd.testing.assert_frame_equal(first_history, history_again)


def test_train_model_leaves_its_inputs_alone(
    run: Callable[[], Outputs], training_inputs: dict[str, Any]
) -> None:
    before = pa.Table.from_batches(training_inputs["train_token_ids"].to_batches())

    run()

    assert training_inputs["train_token_ids"].equals(before)


def test_train_model_learns_from_the_first_words_of_a_review(
    run: Callable[[], Outputs], training_inputs: dict[str, Any]
) -> None:
    (_, history, _), table = run(), training_inputs["train_token_ids"]
    lengths = np.minimum([len(ids) for ids in table["token_ids"].to_pylist()], 9)

    assert history.loc[history["step"] == 3, "words"].iloc[0] == (lengths - 1).sum()
