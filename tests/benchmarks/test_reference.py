"""The plain-Keras reference is the published example."""

import keras
import numpy as np
import pytest

from benchmarks.reference import mini_gpt

SMALL = {"vocabulary_size": 30, "sequence_length": 6, "embed_dim": 8, "num_heads": 2, "feed_forward_dim": 8}


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    return mini_gpt.create_model(**SMALL)


def test_the_model_has_the_weights_of_the_example() -> None:
    _, embedding, block, output_layer = mini_gpt.create_model().layers

    assert embedding.count_params() == (20000 + 80) * 256
    # Query, key and value of two heads of 256; their output; feed-forward; two norms.
    assert block.count_params() == 3 * 257 * 512 + 513 * 256 + 2 * 257 * 256 + 4 * 256
    assert output_layer.count_params() == 257 * 20000


def test_no_position_sees_a_later_one(model: keras.Model) -> None:
    token_ids = np.array([[3, 4, 5, 6, 7, 8]])
    changed = np.array([[3, 4, 5, 9, 7, 8]])

    logits, changed_logits = np.array(model(token_ids)), np.array(model(changed))

    np.testing.assert_array_equal(logits[:, :3], changed_logits[:, :3])
    assert (logits[:, 3:] != changed_logits[:, 3:]).any(axis=-1).all()


def test_the_model_learns_in_fit(model: keras.Model) -> None:
    token_ids = np.tile(np.arange(2, 9), (32, 1))

    history = model.fit(token_ids[:, :-1], token_ids[:, 1:], epochs=20, verbose=0).history["loss"]

    assert history[-1] < history[0] - 1
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)


def test_each_token_follows_from_one_predict_of_the_newest_window(
    model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: list[list[int]] = []

    def predict(window: np.ndarray, verbose: int) -> np.ndarray:
        windows.append(window[0].tolist())
        logits = np.zeros((1, 6, 30), dtype="float32")
        logits[0, :, window.max() + 1] = 100.0  # the next number
        return logits

    monkeypatch.setattr(model, "predict", predict)

    assert mini_gpt.generate(model, [2, 3, 4], 5, np.random.default_rng(0)) == [5, 6, 7, 8, 9]
    assert windows[0] == [2, 3, 4, 0, 0, 0]
    assert windows[-1] == [3, 4, 5, 6, 7, 8]
