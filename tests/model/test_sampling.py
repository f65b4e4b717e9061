import math
import string
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.few_rows import BLOCK_WORDS, join_blocks, make_blocks
from minigpt_pipeline.model.sampling import RANKED_WORDS, Choice, _weigh, draw_words, rank_words
from minigpt_pipeline.parameters import SamplingParameters
from tests.model.drawing import make_drawable

LETTERS = np.array(["", "[UNK]", *string.ascii_lowercase])
NEARLY_ONE = 1 - 2**-24  # the largest uniform number


def choice(**settings: Any) -> Choice:
    defaults = {"temperature": 1.0, "top_k": None, "top_p": None, "max_new_tokens": 1, "stop_token": None}
    return Choice.from_parameters(SamplingParameters(**defaults | settings))


def expect(**probabilities: float) -> np.ndarray:
    """Logits of a vocabulary of letters: the named ones have these probabilities, the others none to speak of."""
    logits = np.full(28, -30.0, dtype="float32")
    for letter, probability in probabilities.items():
        logits[letter == LETTERS] = math.log(probability)
    return logits


def draw(logits: np.ndarray, uniforms: Any, choice: Choice) -> np.ndarray:
    return np.array(draw_words(make_drawable(logits), uniforms, choice))


def spell(logits: np.ndarray, uniforms: Any, choice: Choice) -> str:
    """Draw a letter for each row of logits, or for each number from the same logits."""
    uniforms = np.asarray(uniforms, dtype="float32")
    rows = np.broadcast_to(logits, (len(uniforms), logits.shape[-1]))
    return "".join(LETTERS[draw(rows, uniforms, choice)])


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {"temperature": 0.0, "top_k": 5, "top_p": 0.9},
        {"top_k": 1},
        {"temperature": 1e-9},
        {"temperature": 1e-60},
        {"top_p": 0.5},
        {"top_p": 1e-9, "top_k": 3},
        {"top_p": 1e-60},
        {"top_p": 1e-60, "top_k": 3},
    ],
)
def test_draw_words_spells_the_most_probable_letters(settings: dict[str, Any]) -> None:
    logits = np.stack([expect(**{letter: 0.6, "x": 0.4}) for letter in "sequentially"])

    for uniform in (0, 0.5, NEARLY_ONE):
        assert spell(logits, [uniform] * 12, choice(**settings)) == "sequentially"


def test_draw_words_takes_the_letter_at_which_the_cumulative_probability_passes_the_number() -> None:
    logits = expect(a=0.1, d=0.2, m=0.3, z=0.4)

    assert spell(logits, [0, 0.09, 0.11, 0.29, 0.31, 0.59, 0.61, NEARLY_ONE], choice()) == "aaddmmzz"


def test_draw_words_ranks_the_letters_where_only_some_can_be_drawn() -> None:
    logits = expect(a=0.1, d=0.2, m=0.3, z=0.4)

    assert spell(logits, [0, 0.39, 0.41, 0.69, 0.71, 0.89, 0.91], choice(top_k=4)) == "zzmmdda"
    assert spell(logits, [0, 0.56, 0.58, NEARLY_ONE], choice(top_k=2)) == "zzmm"  # z has 4 / 7


@pytest.mark.parametrize(
    ("top_p", "drawn"),
    [(0.01, "e"), (0.39, "e"), (0.41, "et"), (0.69, "et"), (0.71, "eta"), (0.91, "etao"), (1.0, "etaon")],
)
@pytest.mark.parametrize("top_k", [None, 5])
def test_draw_words_draws_from_the_smallest_set_that_reaches_top_p(
    top_p: float, drawn: str, top_k: int | None
) -> None:
    logits = expect(e=0.4, t=0.3, a=0.2, o=0.08, n=0.02)

    letters = spell(logits, np.linspace(0, NEARLY_ONE, 400), choice(top_p=top_p, top_k=top_k))

    assert set(letters) == set(drawn)


def test_draw_words_takes_top_p_of_what_top_k_leaves_and_after_the_temperature() -> None:
    logits = expect(e=0.4, t=0.3, a=0.2, o=0.1)
    numbers = np.linspace(0, NEARLY_ONE, 400)

    assert set(spell(logits, numbers, choice(top_p=0.6))) == set("et")
    assert set(spell(logits, numbers, choice(top_p=0.6, top_k=2))) == set("et")  # e has 4 / 7
    assert set(spell(logits, numbers, choice(top_p=0.5, top_k=2))) == set("e")
    assert set(spell(logits, numbers, choice(top_p=0.6, temperature=0.25))) == set("e")  # 0.72 of e


def test_draw_words_takes_the_lower_id_of_equals() -> None:
    logits = expect(b=0.25, c=0.25, d=0.25, e=0.25)
    numbers = np.linspace(0, NEARLY_ONE, 100)

    assert spell(logits, [0, NEARLY_ONE], choice(temperature=0.0)) == "bb"
    assert set(spell(logits, numbers, choice(top_k=2))) == set("bc")
    assert set(spell(logits, numbers, choice(top_p=0.7))) == set("bcd")


@pytest.mark.parametrize(
    ("min_p", "drawn"), [(1.0, "e"), (0.76, "e"), (0.74, "et"), (0.49, "eta"), (0.1, "etao"), (0.04, "etaon")]
)
@pytest.mark.parametrize("others", [{}, {"top_k": 5}, {"top_p": 0.999}])
def test_draw_words_draws_what_has_min_p_of_the_probability_of_the_most_probable(
    min_p: float, drawn: str, others: dict[str, Any]
) -> None:
    logits = expect(e=0.4, t=0.3, a=0.2, o=0.08, n=0.02)

    letters = spell(logits, np.linspace(0, NEARLY_ONE, 400), choice(min_p=min_p, **others))

    assert set(letters) == set(drawn)


def test_draw_words_takes_min_p_of_what_top_p_leaves_and_after_the_temperature() -> None:
    logits = expect(e=0.4, t=0.3, a=0.2, o=0.1)
    numbers = np.linspace(0, NEARLY_ONE, 400)

    assert set(spell(logits, numbers, choice(min_p=0.6))) == set("et")
    for top_k in (None, 4):  # e alone has 4 / 7 of the two that min-p would leave to top-p
        assert set(spell(logits, numbers, choice(min_p=0.6, top_p=0.5, top_k=top_k))) == set("et")
    assert set(spell(logits, numbers, choice(min_p=0.6, temperature=0.5))) == set("e")  # t has 9 / 16
    assert set(spell(logits, numbers, choice(min_p=0.1, top_p=0.8, top_k=2))) == set("et")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.0},
        {"top_k": 3},
        {"top_k": 28},
        {"top_p": 0.5},
        {"top_p": 1.0, "top_k": 9},
        {"min_p": 0.5},
    ],
)
def test_draw_words_never_draws_padding_or_unknown(settings: dict[str, Any]) -> None:
    logits = np.zeros(28, dtype="float32")
    logits[:2] = 1000.0

    letters = spell(logits, np.linspace(0, NEARLY_ONE, 200), choice(**settings))

    assert len(letters) == 200


PROBABILITIES = np.array([0.2, 0.3, 0.15, 0.05, 0.3])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, PROBABILITIES),
        ({"temperature": 0.5}, PROBABILITIES**2),
        ({"temperature": 2.0}, PROBABILITIES**0.5),
        ({"top_k": 3}, [0.2, 0.3, 0, 0, 0.3]),
        ({"top_p": 0.9}, [0.2, 0.3, 0.15, 0, 0.3]),
        ({"top_k": 4, "top_p": 0.8}, [0.2, 0.3, 0, 0, 0.3]),
        ({"top_k": 4, "temperature": 2.0}, [*PROBABILITIES[:3] ** 0.5, 0, 0.3**0.5]),
        ({"min_p": 0.6}, [0.2, 0.3, 0, 0, 0.3]),
        ({"min_p": 0.4, "top_k": 4, "temperature": 2.0}, [*PROBABILITIES[:3] ** 0.5, 0, 0.3**0.5]),
    ],
)
def test_draw_words_follows_the_probabilities(settings: dict[str, Any], expected: Any) -> None:
    """Within 4.5 standard errors, which chance leaves once in 150,000 shares."""
    num_draws = 40_000
    uniforms = np.random.default_rng(8).random(num_draws, dtype="float32")
    letters = spell(expect(**dict(zip("vwxyz", PROBABILITIES, strict=True))), uniforms, choice(**settings))
    shares = np.array([letters.count(letter) for letter in "vwxyz"]) / num_draws

    exact = np.array(expected) / np.sum(expected)

    assert (np.abs(shares - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / num_draws)).all()


def nucleus_by_hand(logits: np.ndarray, top_p: float) -> set[int]:
    probabilities = np.exp(logits[2:].astype("float64"))
    order = np.argsort(-probabilities, kind="stable")
    reached = np.cumsum(probabilities[order]) / probabilities.sum()
    return set(order[: np.searchsorted(reached, top_p) + 1] + 2)


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_draw_words_finds_a_nucleus_of_any_size(spread: float) -> None:
    logits = spread * np.random.default_rng(5).normal(size=RANKED_WORDS[-1] + 500).astype("float32")
    numbers = np.linspace(0, NEARLY_ONE, 10_000, dtype="float32").reshape(20, -1)

    rows = np.tile(logits, (500, 1))
    drawn = {word for some in numbers for word in draw(rows, some, choice(top_p=0.8))}

    assert drawn == nucleus_by_hand(logits, 0.8)


@pytest.mark.parametrize(
    "settings", [{}, {"top_k": 10}, {"top_p": 0.9}, {"top_k": 10, "top_p": 0.9}, {"min_p": 0.02}]
)
def test_draw_words_draws_the_same_beside_any_neighbours(settings: dict[str, Any]) -> None:
    """Also beside one whose nucleus is larger than the words that are ranked at first."""
    rng = np.random.default_rng(6)
    logits = 3 * rng.normal(size=(200, 3 * RANKED_WORDS[0])).astype("float32")
    uniforms = rng.random(200, dtype="float32")
    flat = np.zeros_like(logits[:1])

    alone = draw(logits, uniforms, choice(**settings))
    beside = draw(
        np.concatenate([flat, logits[::-1]]),
        np.append(0.5, uniforms[::-1]).astype("float32"),
        choice(**settings),
    )

    assert np.array_equal(beside[1:][::-1], alone)


@pytest.mark.parametrize("count", [1, 2, 16, 40, 47, 48, 3000])
@pytest.mark.parametrize("num_values", [3, 10_000])
def test_rank_words_orders_as_a_stable_sort_does(count: int, num_values: int) -> None:
    """Also with many equals, and with more words asked for than there are blocks."""
    rng = np.random.default_rng(7)
    scores = make_drawable(rng.integers(num_values, size=(9, 3000)).astype("float32"))
    logits = scores.join_parts().numpy()

    largest, words = rank_words(scores, tf.constant(count))

    expected = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(words, expected)
    np.testing.assert_array_equal(largest, np.take_along_axis(logits, expected, axis=1))


@pytest.mark.parametrize("settings", [{"top_k": 3}, {"top_k": 28}, {"top_k": None}, {"top_p": 0.99}])
def test_draw_words_names_the_letters_of_blocks_that_lie_apart(settings: dict[str, Any]) -> None:
    """Ten letters are frequent, and the rest of their block holds nothing."""
    logits = expect(b=0.3, g=0.4, q=0.2, z=0.1)[None]
    parts = (
        np.pad(part, ((0, 0), (0, BLOCK_WORDS - part.shape[1])), constant_values=-np.inf)
        for part in np.split(logits, [12], axis=1)
    )
    frequent, rare = (make_blocks(tf.constant(np.repeat(part, 400, axis=0))) for part in parts)
    scores = join_blocks(frequent, rare._replace(first_words=rare.first_words + 12))

    drawn = draw_words(scores, np.linspace(0, NEARLY_ONE, 400, dtype="float32"), choice(**settings))

    assert set("".join(LETTERS[drawn])) == (set("bgq") if settings.get("top_k") == 3 else set("bgqz"))


def test_draw_words_computes_each_row_in_the_same_way_however_many_there_are() -> None:
    """Their weights have the same bits, or a number at the edge would draw another word."""
    logits = np.random.default_rng(9).normal(size=(64, 5000)).astype("float32")

    for columns in (16, 48, logits.shape[1]):
        some = logits[:, :columns]
        whole = np.cumsum(np.array(_weigh(some, 0.7)), axis=1)
        for rows in (1, 8):
            groups = [_weigh(some[first : first + rows], 0.7) for first in range(0, 64, rows)]
            assert np.array_equal(np.cumsum(np.concatenate(groups), axis=1), whole)


def test_rows_with_settings_of_their_own_draw_as_they_do_alone() -> None:
    rng = np.random.default_rng(8)
    logits = (3 * rng.normal(size=(40, 6000))).astype("float32")
    uniforms = rng.random(40, dtype="float32")
    choices = [
        choice(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        for temperature in (0.0, 0.5, 1.3)
        for top_k in (None, 3, 50)
        for top_p in (None, 0.3, 0.999)
        for min_p in (None, 0.1)
    ]
    for first in range(0, len(choices), 8):
        some = [choices[(first + row) % len(choices)] for row in range(40)]
        together = Choice(*(np.array(values) for values in zip(*some, strict=True)))

        drawn = draw(logits, uniforms, together)

        alone = [draw(logits[[row]], uniforms[[row]], one)[0] for row, one in enumerate(some)]
        assert drawn.tolist() == alone
