"""A vocabulary of letters, a model of eight dimensions, and a log that is a list."""

import string
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from minigpt_pipeline.model.mini_gpt import MiniGPT, create_model
from minigpt_pipeline.parameters import ModelParameters, TrainingParameters
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

SIZES = {
    "sequence_length": 8,
    "embed_dim": 8,
    "num_heads": 2,
    "head_dim": None,
    "feed_forward_dim": 16,
    "num_blocks": 1,
    "dropout": 0.1,
}
OPTIONS = {"normalization": "pre", "positions": "rotary", "activation": "gelu", "num_blocks": 2}
"""All that is off in `SIZES`, at once."""

SETTINGS = {
    "seed": 5,
    "batch_size": 8,
    "epochs": 2,
    "max_steps": None,
    "max_minutes": None,
    "optimizer": {"name": "sgd", "learning_rate": 0.01},  # traced in half of Adam's time
    "log_every_steps": 2,
    "evaluate_every_steps": None,
    "sample_every_epochs": 1,
    "checkpoint_every_minutes": None,
    "checkpoint_every_steps": None,
}


@pytest.fixture(scope="session")
def letters() -> WordTokenizer:
    """26 words: a is 2, z is 27."""
    return WordTokenizer(Vocabulary(("", "[UNK]", *string.ascii_lowercase)))


@pytest.fixture
def make_model() -> Callable[..., MiniGPT]:
    def make(seed: int = 1, vocabulary_size: int = 28, **sizes: Any) -> MiniGPT:
        keras.utils.set_random_seed(seed)
        return create_model(ModelParameters(**SIZES | sizes), vocabulary_size)

    return make


@pytest.fixture
def model(make_model: Callable[..., MiniGPT]) -> MiniGPT:
    return make_model()


@pytest.fixture
def make_training() -> Callable[..., TrainingParameters]:
    def make(**settings: Any) -> TrainingParameters:
        return TrainingParameters(**SETTINGS | settings)

    return make


@pytest.fixture(scope="session")
def alphabets() -> np.ndarray:
    """20 sequences of nine letters, each the next of the alphabet; int32, (20, 9). The last five end in padding."""
    starts = np.arange(20) % 18
    sequences = (starts[:, None] + np.arange(9)) + 2
    sequences[15:, 5:] = 0
    return sequences.astype("int32")
