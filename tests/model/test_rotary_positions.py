import numpy as np

from minigpt_pipeline.model.rotary_positions import make_rotations, rotate
from tests.model import by_hand

RNG = np.random.default_rng(6)


def test_make_rotations_turns_the_first_pair_by_one_radian_a_place_and_the_last_hardly() -> None:
    rotations = make_rotations(5, 4)  # speeds 10,000^0 and 10,000^(-2 / 4)

    np.testing.assert_allclose(rotations[:, 0], np.cos([[0, 0], [1, 0.01], [2, 0.02], [3, 0.03], [4, 0.04]]))
    np.testing.assert_allclose(rotations[:, 1], np.sin([[0, 0], [1, 0.01], [2, 0.02], [3, 0.03], [4, 0.04]]))


def test_rotations_of_the_first_places_do_not_depend_on_how_many_follow() -> None:
    assert np.array_equal(make_rotations(5, 6), make_rotations(80, 6)[:5])


def test_rotate_multiplies_complex_numbers() -> None:
    heads = RNG.normal(size=(2, 3, 5, 8)).astype("float32")

    rotated = np.array(rotate(heads, make_rotations(5, 8)))

    expected = [[by_hand.rotate(head) for head in text] for text in heads.astype("float64")]
    np.testing.assert_allclose(rotated, expected, atol=1e-6)


def test_the_product_of_query_and_key_knows_only_their_distance() -> None:
    query, key = RNG.normal(size=(2, 1, 1, 1, 8)).astype("float32")
    rotations = make_rotations(80, 8)

    def score(query_place: int, key_place: int) -> float:
        turned = rotate(query, rotations[[query_place]]), rotate(key, rotations[[key_place]])
        return float((np.array(turned[0]) * np.array(turned[1])).sum())

    np.testing.assert_allclose([score(23, 20), score(79, 76)], score(3, 0), atol=1e-5)
    assert abs(score(4, 0) - score(3, 0)) > 0.01


def test_rotate_keeps_the_precision_and_turns_in_float32() -> None:
    heads = np.array(rotate(np.ones((1, 1, 80, 8), dtype="float32"), make_rotations(80, 8)))

    from keras import ops

    rotated = rotate(ops.ones((1, 1, 80, 8), dtype="bfloat16"), make_rotations(80, 8))

    assert rotated.dtype == "bfloat16"
    assert np.array_equal(ops.convert_to_numpy(rotated), ops.convert_to_numpy(ops.cast(heads, "bfloat16")))
