import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.model.warm_start import start_from
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

MakeModel = Callable[..., MiniGPT]


@pytest.fixture
def former(make_model: MakeModel, letters: WordTokenizer) -> TrainedModel:
    return TrainedModel.from_model(make_model(seed=7), letters, {})


def has_weights_of(model: MiniGPT, former: TrainedModel) -> bool:
    pairs = zip(model.get_weights(), former.load_model().get_weights(), strict=True)
    return all(np.array_equal(here, there) for here, there in pairs)


@pytest.mark.parametrize("sizes", [{}, {"dropout": 0.3}])
def test_weights_are_taken_where_they_fit(
    make_model: MakeModel, former: TrainedModel, letters: WordTokenizer, sizes: dict[str, Any]
) -> None:
    network = make_model(**sizes)
    assert not has_weights_of(network, former)

    assert start_from(former, network, letters) == former.weights_digest

    assert has_weights_of(network, former)


@pytest.mark.parametrize(
    ("sizes", "words", "said"),
    [
        (
            {"embed_dim": 12},
            "abcdefghijklmnopqrstuvwxyz",
            "embed_dim is 12, the champion's is 8; head_dim is 6",
        ),
        (
            {"num_heads": 4},
            "abcdefghijklmnopqrstuvwxyz",
            "head_dim is 2, the champion's is 4; num_heads is 4",
        ),
        ({"activation": "gelu"}, "abcdefghijklmnopqrstuvwxyz", "activation is gelu, the champion's is relu"),
        ({}, "abcdefghijklmnopqrstuvwxzy", "the tokens are "),
        ({"vocabulary_size": 5}, "abc", "vocabulary_size is 5, the champion's is 28; the tokens are "),
    ],
    ids=["width", "heads of the same width in all", "same shapes", "tokens", "vocabulary"],
)
def test_weights_that_mean_something_else_are_left_and_it_is_said_why(
    make_model: MakeModel,
    former: TrainedModel,
    sizes: dict[str, Any],
    words: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = make_model(**sizes)
    before = network.get_weights()

    with caplog.at_level(logging.WARNING):
        digest = start_from(former, network, WordTokenizer(Vocabulary(("", "[UNK]", *words))))

    assert digest is None
    assert all(map(np.array_equal, before, network.get_weights()))
    assert said in caplog.text
