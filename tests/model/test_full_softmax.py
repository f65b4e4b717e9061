import keras
import numpy as np
import pytest

from minigpt_pipeline.model.full_softmax import FullSoftmax

STATES = np.random.default_rng(4).normal(size=(3, 2, 4)).astype("float32")


def test_logits_are_products_with_the_words_vectors_and_their_bias() -> None:
    layer = FullSoftmax(5)
    layer.build((None, None, 4))
    layer.bias.assign([1.0, 2.0, 3.0, 4.0, 5.0])

    expected = STATES @ np.array(layer.kernel).T + [1, 2, 3, 4, 5]

    np.testing.assert_allclose(layer(STATES), expected, atol=1e-5)


def test_cross_entropies_are_those_of_the_logits() -> None:
    layer = FullSoftmax(5)
    labels = np.array([0, 1, 2, 3, 4, 0], dtype="int32")
    expected = keras.losses.sparse_categorical_crossentropy(
        labels, np.array(layer(STATES)).reshape(6, 5), from_logits=True
    )

    np.testing.assert_allclose(layer.cross_entropies(STATES.reshape(6, 4), labels), expected, atol=1e-5)


def test_a_tied_layer_has_the_vectors_of_the_embedding_and_no_own() -> None:
    embedding = keras.layers.Embedding(5, 4)
    embedding.build(())
    layer = FullSoftmax(5, tied=True)
    layer.tie(embedding)

    logits = layer(STATES)

    assert [weight.shape for weight in layer.weights] == [(5,)]
    np.testing.assert_allclose(logits, STATES @ np.array(embedding.embeddings).T, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_config_makes_the_same_layer(tied: bool) -> None:
    layer = FullSoftmax(5, tied, name="words")

    copy = FullSoftmax.from_config(layer.get_config())

    assert copy.get_config() == layer.get_config()
    assert (copy.vocabulary_size, copy.tied, copy.name) == (5, tied, "words")
