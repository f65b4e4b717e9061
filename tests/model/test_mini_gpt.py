import importlib
import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from minigpt_pipeline.model.mini_gpt import MiniGPT, create_model
from minigpt_pipeline.parameters import ModelParameters
from tests.model import by_hand
from tests.model.drawing import list_by_word

PRE, ROTARY, GELU = {"normalization": "pre"}, {"positions": "rotary"}, {"activation": "gelu"}


@pytest.fixture
def make_random_model(make_model: Callable[..., MiniGPT]) -> Callable[..., MiniGPT]:
    """Biases and norms of fresh weights, too, would hide what they do."""

    def make(**sizes: Any) -> MiniGPT:
        model, rng = make_model(**sizes), np.random.default_rng(2)
        model.set_weights([rng.normal(size=weight.shape) / 2 for weight in model.get_weights()])
        return model

    return make


def test_logits_have_one_row_for_each_position(model: MiniGPT) -> None:
    assert model(np.full((3, 5), 2)).shape == (3, 5, 28)


def test_hidden_states_and_output_layer_are_the_whole_model(model: MiniGPT, alphabets: np.ndarray) -> None:
    token_ids = alphabets[:, :8]

    logits = model.output_layer(model.hidden_states(token_ids))

    assert np.array_equal(logits, model(token_ids))


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"num_blocks": 3},
        {"sequence_length": 40},
        {"tied_embeddings": True},
        {"output_layer": "adaptive", "num_frequent_words": 9, "rare_word_dim": 4},
        PRE,
        ROTARY,
        GELU,
        {**PRE, **ROTARY, **GELU, "num_blocks": 2, "tied_embeddings": True, "sequence_length": 40},
    ],
    ids=str,
)
def test_logits_agree_with_a_computation_by_hand(
    make_random_model: Callable[..., MiniGPT], sizes: dict[str, Any]
) -> None:
    model = make_random_model(**sizes)
    word_ids = np.random.default_rng(5).integers(28, size=(2, model.sequence_length))

    probabilities = keras.ops.log_softmax(model(word_ids), axis=-1)

    expected = [by_hand.predict(text, model) for text in word_ids]
    np.testing.assert_allclose(np.array(probabilities), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"output_layer": "adaptive", "num_frequent_words": 9, "rare_word_dim": 4},
        {"tied_embeddings": True},
        PRE,
    ],
)
def test_score_next_words_gives_the_probabilities_of_the_whole_model(
    make_model: Callable[..., MiniGPT], alphabets: np.ndarray, sizes: dict[str, Any]
) -> None:
    model = make_model(**sizes)
    states = model.hidden_states(alphabets[:, :8])[:, 2]

    logits = list_by_word(model.score_next_words(states, model.arrange_output_layer()), 28)

    expected = np.array(model(alphabets[:, :8]))[:, 2, 2:]
    np.testing.assert_allclose(logits[:, 2:] - logits[:, 2:3], expected - expected[:, :1], atol=1e-5)
    assert np.isneginf(logits[:, :2]).all()


@pytest.mark.parametrize(
    "sizes", [{}, {"output_layer": "adaptive", "num_frequent_words": 9, "rare_word_dim": 4}]
)
@pytest.mark.parametrize("may_end", [False, True])
def test_score_next_words_leaves_unknown_out_where_there_is_one(
    make_model: Callable[..., MiniGPT], alphabets: np.ndarray, sizes: dict[str, Any], may_end: bool
) -> None:
    for unknown_id, excluded in ((1, {1}), (None, set()), (27, {27})):
        model = MiniGPT.from_config(make_model(**sizes).get_config() | {"unknown_id": unknown_id})
        states = model.hidden_states(alphabets[:, :8])[:, 2]

        logits = list_by_word(model.score_next_words(states, model.arrange_output_layer(may_end)), 28)

        assert set(np.flatnonzero(np.isneginf(logits).all(axis=0))) == excluded | (set() if may_end else {0})


def test_score_next_words_gives_float32_whatever_the_precision(model: MiniGPT, alphabets: np.ndarray) -> None:
    copy = model.in_precision("mixed_bfloat16")
    states = copy.hidden_states(alphabets[:, :8])[:, 2]

    assert copy.score_next_words(states, copy.arrange_output_layer()).join_parts().dtype == "float32"


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"num_blocks": 3},
        {"num_heads": 1},
        {"num_heads": 4, "head_dim": 5},
        {"num_heads": 1, "head_dim": 16, "num_blocks": 2},
        {"sequence_length": 2},
        {"sequence_length": 11, "embed_dim": 6},
        PRE,
        ROTARY,
        GELU,
        {**PRE, **ROTARY, **GELU, "num_blocks": 2, "sequence_length": 11},
    ],
)
def test_step_gives_word_by_word_the_logits_of_the_whole_model(
    make_random_model: Callable[..., MiniGPT], sizes: dict[str, Any]
) -> None:
    model = make_random_model(**sizes)
    token_ids = np.random.default_rng(3).integers(28, size=(3, model.sequence_length))
    logits, caches = np.array(model(token_ids))[:, :, 2:], model.make_caches(3, model.sequence_length)
    arranged = model.arrange_output_layer()

    for place in range(model.sequence_length):
        states, caches = model.step(token_ids[:, place], caches, np.full(3, place))

        next_logits = list_by_word(model.score_next_words(states, arranged), 28)[:, 2:]
        np.testing.assert_allclose(next_logits, logits[:, place], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("head_dim", "width"), [(None, 8), (6, 12)])
def test_create_model_divides_the_width_where_no_head_dim_is_given(
    make_model: Callable[..., MiniGPT], head_dim: int | None, width: int
) -> None:
    model = make_model(head_dim=head_dim)

    assert model.blocks[0].attention.input_projection.kernel.shape == (8, 3 * width)


def test_create_model_has_as_many_weights_as_the_published_example() -> None:
    sizes = ModelParameters(
        sequence_length=80,
        embed_dim=256,
        num_heads=2,
        head_dim=256,
        feed_forward_dim=256,
        num_blocks=1,
        dropout=0.1,
    )

    # Word and place vectors; query, key and value; attention's output; two dense layers; two norms; output layer.
    expected = (20_000 + 80) * 256 + 3 * (257 * 512) + 513 * 256 + 2 * 257 * 256 + 2 * 512 + 257 * 20_000
    assert create_model(sizes, 20_000).count_params() == expected


@pytest.mark.parametrize(
    ("sizes", "change"),
    [
        (PRE, 2 * 8),  # gain and offset of the last norm
        (ROTARY, -8 * 8),  # no vectors of places
        (GELU, 0),
        ({"tied_embeddings": True}, -28 * 8),
        ({"num_blocks": 3}, 2 * (4 * 9 * 8 + (9 * 16 + 17 * 8) + 2 * 2 * 8)),
    ],
    ids=str,
)
def test_create_model_has_the_weights_that_an_option_needs(
    make_model: Callable[..., MiniGPT], sizes: dict[str, Any], change: int
) -> None:
    assert make_model(**sizes).count_params() == make_model().count_params() + change


def test_a_config_without_the_options_is_that_of_a_model_without_them(model: MiniGPT) -> None:
    config = model.get_config()
    options = {name: config.pop(name) for name in ("normalization", "positions", "activation")}

    assert MiniGPT.from_config(config).get_config() == config | options
    assert options == {"normalization": "post", "positions": "learned", "activation": "relu"}


@pytest.mark.parametrize(
    "sizes", [{}, {"output_layer": "adaptive"}, {"tied_embeddings": True}, PRE, ROTARY, GELU], ids=str
)
def test_config_makes_the_same_model(make_model: Callable[..., MiniGPT], sizes: dict[str, Any]) -> None:
    model = make_model(num_frequent_words=12, rare_word_dim=4, **sizes)
    copy = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    )

    assert isinstance(copy, MiniGPT)
    assert copy.get_config() == model.get_config()
    assert [weight.path for weight in copy.weights] == [weight.path for weight in model.weights]
    assert [weight.shape for weight in copy.weights] == [weight.shape for weight in model.weights]


@pytest.mark.parametrize("sizes", [{}, PRE, ROTARY, GELU], ids=str)
def test_in_precision_computes_less_precisely_with_the_same_float32_weights(
    make_model: Callable[..., MiniGPT], alphabets: np.ndarray, sizes: dict[str, Any]
) -> None:
    model = make_model(**sizes)
    copy = model.in_precision("mixed_bfloat16")

    assert {str(weight.dtype) for weight in copy.weights} == {"float32"}
    assert copy(alphabets[:, :8]).dtype == "bfloat16"
    np.testing.assert_allclose(
        np.array(copy(alphabets[:, :8])).astype("float32"), np.array(model(alphabets[:, :8])), atol=0.1
    )


@pytest.mark.parametrize(
    "module",
    [
        "token_and_position_embedding",
        "causal_self_attention",
        "rotary_positions",
        "transformer_block",
        "full_softmax",
        "adaptive_softmax",
        "few_rows",
        "mini_gpt",
        "log_normalizers",
        "cross_entropy",
        "losses",
    ],
)
def test_layers_are_written_without_tensorflow(module: str) -> None:
    """On `keras.ops` alone they work on Keras' other backends."""
    source = inspect.getsource(importlib.import_module(f"minigpt_pipeline.model.{module}"))

    assert "keras" in source
    assert not re.search(r"import tensorflow|tf\.", source)
