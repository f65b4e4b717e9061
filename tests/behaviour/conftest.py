"""A tiny model and the alphabet that it learns."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from minigpt_pipeline.model.compute import ComputeDevice
from minigpt_pipeline.model.mini_gpt import MiniGPT, create_model
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.model.training_loop import TrainingOutcome, train
from minigpt_pipeline.model.training_record import TrainingRecord
from minigpt_pipeline.model.training_sequences import TruncatedSequences
from minigpt_pipeline.parameters import ModelParameters, OptimizerParameters, TrainingParameters
from tests.windows import as_windows

OPTIONS = [
    {},
    {"normalization": "pre"},
    {"positions": "rotary"},
    {"activation": "gelu"},
    {"normalization": "pre", "positions": "rotary", "activation": "gelu", "num_blocks": 2},
]
"""Every property holds with each, and with all at once."""


@pytest.fixture
def make_model() -> Callable[..., MiniGPT]:
    def make(seed: int, **options: Any) -> MiniGPT:
        keras.utils.set_random_seed(seed)
        sizes = {
            "sequence_length": 8,
            "embed_dim": 16,
            "num_heads": 2,
            "head_dim": 6,
            "feed_forward_dim": 32,
            "num_blocks": 1,
            "dropout": 0.1,
        }
        return create_model(ModelParameters(**sizes | options), vocabulary_size=28)

    return make


@pytest.fixture
def train_for(training_log: TrainingLog) -> Callable[..., TrainingOutcome]:
    def run(
        model: MiniGPT,
        sequences: np.ndarray,
        steps: int,
        seed: int = 0,
        precision: str = "float32",
        optimizer: str = "adam",
    ) -> TrainingOutcome:
        training = TrainingParameters(
            seed=seed,
            batch_size=8,
            epochs=steps,
            max_steps=steps,
            max_minutes=None,
            optimizer=OptimizerParameters(name=optimizer, learning_rate=0.02),
            log_every_steps=50,
            evaluate_every_steps=None,
            sample_every_epochs=1,
            checkpoint_every_minutes=None,
            checkpoint_every_steps=None,
        )
        truncated = TruncatedSequences(sequences, seed)
        return train(
            model,
            truncated,
            as_windows(sequences),
            training,
            TrainingRecord(training_log),
            device=ComputeDevice("CPU", precision),
        )

    return run


@pytest.fixture(scope="session")
def sequences() -> np.ndarray:
    """Letters at random, int32, (20, 9)."""
    return np.random.default_rng(8).integers(2, 28, size=(20, 9)).astype("int32")
