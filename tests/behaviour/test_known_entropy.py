"""The corpus's entropy is a floor that no honest model goes below, and that a good one comes close to."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from minigpt_pipeline.model import causal_self_attention
from minigpt_pipeline.model.evaluation import evaluate
from minigpt_pipeline.model.mini_gpt import MiniGPT, create_model
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.model.training_loop import train
from minigpt_pipeline.model.training_record import TrainingRecord
from minigpt_pipeline.model.training_sequences import TruncatedSequences
from minigpt_pipeline.parameters import ModelParameters, TrainingParameters
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews, log_probabilities
from minigpt_pipeline.text.vocabulary import Vocabulary, build_vocabulary
from tests.windows import as_windows

CONF = Path(__file__).parents[2] / "conf"
TRAIN_SEED, VALIDATION_SEED, FRESH_SEED = 1, 2, 3  # of three texts that have nothing in common


def write_words(num_reviews: int, seed: int) -> pa.ListArray:
    return split_words(pa.array([review.text for review in fresh_reviews(num_reviews, seed)]))


def encode(words: pa.ListArray, vocabulary: Vocabulary, sequence_length: int) -> np.ndarray:
    return truncate(pa.table({"token_ids": vocabulary.encode_lists(words)}), sequence_length)


def measure_source(words: pa.ListArray, sequence_length: int) -> tuple[float, float]:
    """Return the source's exact loss on a text, and the standard error of that loss as an estimate of its entropy."""
    losses = [-log_probabilities(review[: sequence_length + 1])[1:] for review in words.to_pylist()]
    of_reviews = pd.Series([review.mean() for review in losses])
    return float(np.concatenate(losses).mean()), float(of_reviews.sem())


def read_parameters(environment: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / environment / "parameters_training.yml").read_text())


def train_on_the_source(
    sizes: dict[str, Any], training: dict[str, Any], num_reviews: int, training_log: TrainingLog
) -> tuple[MiniGPT, Vocabulary]:
    words = write_words(num_reviews, TRAIN_SEED)
    vocabulary = build_vocabulary(words, 20_000)
    keras.utils.set_random_seed(1)
    model = create_model(ModelParameters(**sizes), len(vocabulary))
    length = sizes["sequence_length"]
    validation = encode(write_words(100, VALIDATION_SEED), vocabulary, length)
    train(
        model,
        TruncatedSequences(encode(words, vocabulary, length), training["seed"]),
        as_windows(validation),
        TrainingParameters(**training),
        TrainingRecord(training_log),
    )
    return model, vocabulary


@pytest.mark.full
def test_the_sample_environment_comes_close_to_the_entropy_and_not_below_it(
    training_log: TrainingLog,
) -> None:
    base, sample = read_parameters("base"), read_parameters("sample")
    training = base["training"] | sample["training"] | {"seed": 1}

    model, vocabulary = train_on_the_source(
        base["model"] | sample["model"], training, num_reviews=3600, training_log=training_log
    )

    fresh = write_words(1000, FRESH_SEED)
    source, error = measure_source(fresh, model.sequence_length)
    loss = evaluate(model, as_windows(encode(fresh, vocabulary, model.sequence_length)), batch_size=64).mean()
    assert source >= 2.0
    assert source - 3 * error < loss < source + 0.15


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_base_s_model_learns_the_source_from_text_enough(training_log: TrainingLog) -> None:
    base = read_parameters("base")
    narrow = {"embed_dim": 128, "head_dim": 32, "feed_forward_dim": 512}  # for fewer than 1,500 words
    sizes = base["model"] | narrow | {"sequence_length": 80, "output_layer": "full"}
    training = base["training"] | {"seed": 1, "epochs": 1, "max_minutes": None, "evaluate_every_steps": None}

    model, vocabulary = train_on_the_source(sizes, training, num_reviews=60_000, training_log=training_log)

    fresh = write_words(3000, FRESH_SEED)
    source, error = measure_source(fresh, model.sequence_length)
    loss = evaluate(model, as_windows(encode(fresh, vocabulary, model.sequence_length)), batch_size=64).mean()
    assert source - 3 * error < loss < source + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("has_mask", [pytest.param(True, marks=pytest.mark.full), False])
def test_a_model_that_sees_later_words_breaks_the_floor(
    has_mask: bool, monkeypatch: pytest.MonkeyPatch, training_log: TrainingLog
) -> None:
    if not has_mask:
        monkeypatch.setattr(
            causal_self_attention, "causal_attention_mask", lambda length: np.ones((1, 1, 1, 1), dtype=bool)
        )
    sizes = {"sequence_length": 16, "embed_dim": 64, "num_heads": 2, "head_dim": None}
    sizes |= {"feed_forward_dim": 64, "num_blocks": 1, "dropout": 0.0}
    training = read_parameters("base")["training"] | {
        "seed": 1,
        "batch_size": 32,
        "epochs": 7,
        "max_steps": 600,
    }
    training |= {"optimizer": {"name": "adam", "learning_rate": 0.005}}

    model, vocabulary = train_on_the_source(sizes, training, num_reviews=3000, training_log=training_log)

    fresh = write_words(300, FRESH_SEED)
    source, error = measure_source(fresh, model.sequence_length)
    loss = evaluate(model, as_windows(encode(fresh, vocabulary, model.sequence_length)), batch_size=64).mean()
    assert math.isfinite(loss)
    assert (loss > source - 3 * error) == has_mask
