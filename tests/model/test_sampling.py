import string

import numpy as np
import pytest

from minigpt_pipeline.model.sampling import draw_word, most_probable

LETTERS = ["", "[UNK]", *string.ascii_lowercase]


def favour(*letters: str) -> np.ndarray:
    """Logits of a vocabulary of letters: the first letter first, the next ones each a little less."""
    logits = np.zeros(28, dtype="float32")
    for rank, letter in enumerate(letters):
        logits[LETTERS.index(letter)] = 9.0 - rank / 10
    return logits


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, None), (0.0, 5), (1.0, 1), (1e-9, None)])
def test_draw_word_spells_the_most_probable_word(temperature: float, top_k: int | None) -> None:
    drawn = [draw_word(favour(letter, "x"), temperature, top_k, rng()) for letter in "sequentially"]

    assert "".join(LETTERS[word] for word in drawn) == "sequentially"


def test_draw_word_never_draws_padding_or_unknown() -> None:
    logits = np.zeros(28, dtype="float32")
    logits[:2] = 1000.0
    generator = rng()

    drawn = {
        draw_word(logits, temperature, top_k, generator) for temperature in (0, 1, 9) for top_k in (None, 3)
    }

    assert min(drawn) >= 2


def test_draw_word_draws_from_the_top_k_alone() -> None:
    generator = rng()

    drawn = {LETTERS[draw_word(favour("g", "p", "t"), 100.0, 3, generator)] for _ in range(200)}

    assert drawn == {"g", "p", "t"}


def test_draw_word_follows_the_probabilities() -> None:
    logits = np.log([1e-9, 1e-9, 0.2, 0.3, 0.5])
    generator = rng()

    counts = np.bincount([draw_word(logits, 1.0, None, generator) for _ in range(20_000)], minlength=5)

    np.testing.assert_allclose(counts / 20_000, [0, 0, 0.2, 0.3, 0.5], atol=0.015)


def test_draw_word_takes_the_temperature_as_a_divisor() -> None:
    logits = np.log([1.0, 1.0, 0.1, 0.9])
    generator = rng()

    share = np.mean([draw_word(logits, 2.0, None, generator) == 3 for _ in range(20_000)])

    assert share == pytest.approx(3 / 4, abs=0.015)  # sqrt(0.9) to sqrt(0.1) is 3 to 1


def test_draw_word_gives_the_same_for_the_same_seed() -> None:
    draws = [
        [draw_word(favour(), 1.0, None, generator) for _ in range(9)]
        for generator in (rng(1), rng(1), rng(2))
    ]

    assert draws[0] == draws[1] != draws[2]


def test_draw_word_leaves_the_logits_alone() -> None:
    logits = favour("a")

    draw_word(logits, 1.0, 2, rng())

    assert np.array_equal(logits, favour("a"))


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [3]), (2, [0, 3]), (3, [0, 1, 3]), (9, [0, 1, 2, 3]), (None, [0, 1, 2, 3])]
)
def test_most_probable_takes_the_lower_of_equals(k: int | None, expected: list[int]) -> None:
    logits = np.array([5.0, 5.0, 5.0, 7.0, -np.inf])

    assert most_probable(logits, k).tolist() == expected
