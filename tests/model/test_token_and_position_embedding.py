import keras
import numpy as np

from minigpt_pipeline.model.token_and_position_embedding import TokenAndPositionEmbedding


def test_call_adds_the_row_of_the_token_and_the_row_of_its_place() -> None:
    layer = TokenAndPositionEmbedding(vocabulary_size=5, sequence_length=4, embed_dim=3)
    token_ids = np.array([[2, 0, 4], [1, 1, 3]], dtype="int32")

    vectors = np.array(layer(token_ids))

    tokens, places = layer.get_weights()
    expected = [[tokens[token] + places[place] for place, token in enumerate(row)] for row in token_ids]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_call_takes_the_places_that_it_is_told() -> None:
    layer = TokenAndPositionEmbedding(vocabulary_size=5, sequence_length=4, embed_dim=3)

    whole = np.array(layer(np.array([[2, 0, 4], [1, 1, 3]])))
    single = np.array(layer(np.array([[4], [1]]), positions=np.array([[2], [1]])))

    assert np.array_equal(single, whole[[0, 1], [2, 1]][:, None])


def test_call_gives_the_row_of_the_token_alone_where_places_have_none() -> None:
    layer = TokenAndPositionEmbedding(vocabulary_size=5, sequence_length=4, embed_dim=3, has_positions=False)
    token_ids = np.array([[2, 0, 4], [1, 1, 3]], dtype="int32")

    vectors = np.array(layer(token_ids, positions=np.array([[3, 1, 0], [0, 0, 0]])))

    (tokens,) = layer.get_weights()
    assert np.array_equal(vectors, tokens[token_ids])


def test_config_makes_the_same_layer() -> None:
    layer = TokenAndPositionEmbedding(5, 4, 3, has_positions=False, name="embedding", dtype="mixed_bfloat16")

    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))

    assert isinstance(copy, TokenAndPositionEmbedding)
    assert copy.get_config() == layer.get_config()
    assert (copy.vocabulary_size, copy.sequence_length, copy.embed_dim, copy.has_positions) == (
        5,
        4,
        3,
        False,
    )
    assert copy.token_embedding.compute_dtype == "bfloat16"
