"""What training takes, small: of the `training` pipeline, and of each trial of `sweep`."""

import string
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.parameters import (
    ComputeSettings,
    GenerationParameters,
    ModelParameters,
    OptimizerParameters,
    SamplingParameters,
    TrainingParameters,
)
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer


def make_token_ids(num_reviews: int) -> pa.Table:
    """Reviews of two to fifteen letters, each the next of the alphabet."""
    token_ids = [[2 + (number + i) % 26 for i in range(2 + number % 14)] for number in range(num_reviews)]
    review_ids = [f"train/pos/{number}" for number in range(num_reviews)]
    return pa.table({"review_id": review_ids, "token_ids": pa.array(token_ids, pa.list_(pa.int32()))})


@pytest.fixture
def training_inputs(training_log: TrainingLog, tmp_path: Path) -> dict[str, Any]:
    sampling = SamplingParameters(temperature=1.0, top_k=3, top_p=None, max_new_tokens=2, stop_token=None)
    return {
        "train_token_ids": make_token_ids(20),
        "validation_token_ids": make_token_ids(6),
        "tokenizer": WordTokenizer(Vocabulary(("", "[UNK]", *string.ascii_lowercase))),
        "params:model": ModelParameters(
            sequence_length=8,
            embed_dim=8,
            num_heads=2,
            head_dim=None,
            feed_forward_dim=16,
            num_blocks=1,
            dropout=0.1,
        ),
        "params:training": TrainingParameters(
            seed=3,
            batch_size=8,
            epochs=5,
            max_steps=4,
            max_minutes=None,
            optimizer=OptimizerParameters(name="sgd", learning_rate=0.1),
            log_every_steps=2,
            evaluate_every_steps=None,
            sample_every_epochs=1,
            checkpoint_every_minutes=None,
            checkpoint_every_steps=None,
        ),
        "params:generation": GenerationParameters(
            prompts=["a b", "Zebra a"], seeds=[0, 1], sampling=sampling
        ),
        "compute": ComputeSettings(
            device="auto", precision="float32", memory_growth=True, deterministic=True
        ),
        "training_log": training_log,
        "checkpoints": CheckpointStore(tmp_path / "checkpoints", keep=2),
    }
