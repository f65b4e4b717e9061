import itertools
import math
import string
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.few_rows import BLOCK_WORDS, Scores, join_blocks, make_blocks
from minigpt_pipeline.model.repetition import have_rules, lower_repeated
from minigpt_pipeline.model.sampling import Choice, draw_words
from minigpt_pipeline.parameters import SamplingParameters
from tests.model.drawing import list_by_word, make_drawable

LETTERS = ["", "[UNK]", *string.ascii_lowercase]
NEARLY_ONE = 1 - 2**-24  # the largest uniform number


def choice(**settings: Any) -> Choice:
    defaults = {"temperature": 1.0, "top_k": None, "top_p": None, "max_new_tokens": 1, "stop_token": None}
    return Choice.from_parameters(SamplingParameters(**defaults | settings))


def read(texts: list[str]) -> np.ndarray:
    """Return ids, int32, behind padding; a dot is [UNK]."""
    longest = max(map(len, texts))
    ids = [[LETTERS.index("[UNK]" if letter == "." else letter) for letter in text] for text in texts]
    return np.array([[0] * (longest - len(text)) + text for text in ids], dtype="int32")


def expect(**probabilities: float) -> np.ndarray:
    """Logits of letters: the named ones have these probabilities, the others none to speak of."""
    logits = np.full(28, -30.0, dtype="float32")
    for letter, probability in probabilities.items():
        logits[LETTERS.index(letter)] = math.log(probability)
    return logits


def lower(logits: np.ndarray, texts: list[str], zero: float = 0.0, **rules: Any) -> Scores:
    rows = np.broadcast_to(logits, (len(texts), 28)).astype("float32")
    zeros = np.full((len(texts), 1), zero, dtype="float32")
    return lower_repeated(make_drawable(rows), read(texts), zeros, choice(**rules))


def spell(logits: np.ndarray, texts: list[str], uniforms: Any, **settings: Any) -> str:
    scores = lower(logits, texts, **settings)
    drawn = draw_words(scores, np.asarray(uniforms, dtype="float32"), choice(**settings))
    return "".join(LETTERS[word] for word in np.array(drawn))


def find_banned(text: str, size: int) -> str:
    logits = list_by_word(lower(np.zeros(28), [text, "abcdefghij"], no_repeat_ngram_size=size), 28)
    return "".join(letter for letter, logit in zip(LETTERS, logits[0], strict=True) if np.isneginf(logit))


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"top_k": 1}, {"temperature": 0.05}])
def test_what_would_repeat_is_not_written(settings: dict[str, Any]) -> None:
    """After `x` the model wants `z` again, and what it wants else reads well."""
    logits = np.stack([expect(**{letter: 0.1, "z": 0.9}) for letter in "sequentially"])

    assert spell(logits, ["xzwx"] * 12, [0.9] * 12, **settings) == "z" * 12
    assert spell(logits, ["xzwx"] * 12, [0.9] * 12, no_repeat_ngram_size=2, **settings) == "sequentially"
    assert spell(logits, ["xzwx"] * 12, [0.9] * 12, repetition_penalty=50, **settings) == "sequentially"


@pytest.mark.parametrize(
    ("text", "size", "banned"),
    [
        ("abcab", 3, "c"),
        ("abcabdab", 3, "cd"),
        ("abcab", 2, "c"),
        ("abcab", 1, "abc"),
        ("abcab", 4, ""),
        ("aaa", 3, "a"),
        ("aa", 3, ""),
        ("aa", 2, "a"),
        ("a", 2, ""),
        ("a", 3, ""),
        ("a.ba.", 3, "b"),
        ("ab.ab", 3, ""),
        ("abcab", 100, ""),
        ("abcdefgabcdef", 7, "g"),
    ],
)
def test_a_letter_that_would_end_an_ngram_of_the_text_is_banned(text: str, size: int, banned: str) -> None:
    """Beside a longer text, so that padding stands before this one."""
    assert find_banned(text, size).removeprefix("[UNK]") == banned


def test_the_penalty_divides_positive_logits_and_multiplies_negative_ones_once() -> None:
    logits = np.zeros(28)
    logits[2:7] = [4.0, -4.0, 4.0, -4.0, 0.0]

    (lowered,) = list_by_word(lower(logits, ["aabaeb."], repetition_penalty=2), 28)

    assert lowered[2:7].tolist() == [2.0, -8.0, 4.0, -4.0, 0.0]


def test_the_penalty_is_on_logits_and_not_on_scores_that_are_shifted() -> None:
    """Of a probability of 1 the score is 3 here, and a penalty of 2 squares probabilities."""
    logits = expect(a=0.5, b=0.3, c=0.2) + 3

    (lowered,) = list_by_word(lower(logits, ["ac"], zero=3.0, repetition_penalty=2), 28)

    np.testing.assert_allclose(np.exp(lowered[2:5] - 3), [0.25, 0.3, 0.04], rtol=1e-5)


def test_rules_that_are_off_change_no_bit_beside_rows_that_have_them() -> None:
    logits = np.random.default_rng(7).normal(size=(3, 28)).astype("float32")
    zero = np.full((3, 1), 0.1, dtype="float32")
    off, on = choice(repetition_penalty=1), choice(repetition_penalty=2, no_repeat_ngram_size=2)
    mixed = Choice(*(np.array(values) for values in zip(off, on, choice(), strict=True)))

    lowered = lower_repeated(make_drawable(logits), read(["abcab"] * 3), zero, mixed)

    assert np.array(have_rules(mixed)).tolist() == [False, True, False]
    assert not have_rules(off)
    whole = np.array(make_drawable(logits).parts[0])
    changed = np.array(lowered.parts[0]) != whole
    assert changed.any(axis=(1, 2)).tolist() == [False, True, False]


def test_repetition_comes_before_all_that_cuts() -> None:
    """The next best are taken in place of what is banned; `e` with half its logit counts as 0.05."""
    logits = expect(e=0.4, t=0.3, a=0.2, o=0.1) + 6
    numbers = np.linspace(0, NEARLY_ONE, 400)

    def draw(**settings: Any) -> set[str]:
        return set(spell(logits, ["e"] * 400, numbers, no_repeat_ngram_size=1, **settings))

    assert draw(top_k=2) == set("ta")
    assert draw(top_p=0.45) == set("t")  # which has half of what is left
    assert draw(min_p=0.5) == set("ta")
    penalized = spell(logits, ["e"] * 400, numbers, repetition_penalty=2, top_k=3)
    assert set(penalized) == set("tao")


def test_what_a_text_repeats_does_not_touch_its_neighbours() -> None:
    lowered = list_by_word(lower(np.ones(28), ["ab", "ba", "c"], no_repeat_ngram_size=1), 28)

    assert [["abc"[place] for place in np.flatnonzero(np.isneginf(row[2:5]))] for row in lowered] == [
        ["a", "b"],
        ["a", "b"],
        ["c"],
    ]


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.0}, {"top_k": 3}, {"top_k": 3, "top_p": 0.5}])
@pytest.mark.parametrize("cut", [{}, {"top_p": 0.9}, {"min_p": 0.5}])
def test_a_text_for_which_no_letter_is_left_draws_padding(
    settings: dict[str, Any], cut: dict[str, Any]
) -> None:
    texts = [string.ascii_lowercase, string.ascii_lowercase[:-1]]

    for uniform in (0, NEARLY_ONE):
        drawn = spell(np.zeros(28), texts, [uniform] * 2, no_repeat_ngram_size=1, **settings | cut)
        assert drawn == "z"  # of the second text; the first draws nothing


def make_two_parts(logits: np.ndarray, num_frequent: int) -> Scores:
    """Frequent and rare words, with a rest of nothing in the last block of each."""
    parts = np.split(logits, [num_frequent], axis=1)
    padded = [
        np.pad(part, ((0, 0), (0, -part.shape[1] % BLOCK_WORDS)), constant_values=-np.inf) for part in parts
    ]
    return join_blocks(make_blocks(tf.constant(padded[0])), make_blocks(tf.constant(padded[1]), num_frequent))


@pytest.mark.parametrize("num_frequent", [None, 3, 64, 150])
def test_single_logits_change_and_the_maxima_of_their_blocks_are_right(num_frequent: int | None) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(5, 300)).astype("float32")
    logits[:, :2] = -np.inf
    past = rng.integers(2, 300, size=(5, 120), dtype="int32")
    past[0, :70], past[1, :119] = 0, 0
    scores = make_two_parts(logits, num_frequent) if num_frequent else make_drawable(logits)
    zero = np.zeros((5, 1), dtype="float32")

    lowered = lower_repeated(scores, past, zero, choice(repetition_penalty=1.5, no_repeat_ngram_size=2))

    expected = logits.copy()
    for row, text in enumerate(past.tolist()):
        for word in {*text} - {0}:
            expected[row, word] *= 1.5 if expected[row, word] < 0 else 1 / 1.5
        for before, word in itertools.pairwise(text):
            if before == text[-1]:
                expected[row, word] = -np.inf
    assert np.isneginf(expected[:, 2:]).any()
    np.testing.assert_allclose(list_by_word(lowered, 300), expected, rtol=1e-6)
    blocks = np.concatenate([np.array(part) for part in lowered.parts], axis=1)
    np.testing.assert_array_equal(lowered.maxima, blocks.max(axis=2))


@pytest.mark.parametrize(
    ("settings", "exact"),
    [
        ({"repetition_penalty": 2}, [0.04, 0.3, 0.0225, 0.35]),
        ({"repetition_penalty": 2, "temperature": 0.5}, [0.04**2, 0.3**2, 0.0225**2, 0.35**2]),
        ({"no_repeat_ngram_size": 2}, [0.2, 0.3, 0, 0.35]),
        ({"no_repeat_ngram_size": 2, "repetition_penalty": 2, "top_k": 2}, [0, 0.3, 0, 0.35]),
        ({"no_repeat_ngram_size": 2, "repetition_penalty": 2, "min_p": 0.1}, [0.04, 0.3, 0, 0.35]),
    ],
)
def test_draws_follow_the_probabilities(settings: dict[str, Any], exact: list[float]) -> None:
    """Within 4.5 standard errors, which chance leaves once in 150,000 shares. The text has `a` and `c`."""
    num_draws = 20_000
    uniforms = np.random.default_rng(8).random(num_draws, dtype="float32")

    letters = spell(expect(a=0.2, b=0.3, c=0.15, d=0.35), ["aca"] * num_draws, uniforms, **settings)

    shares = np.array([letters.count(letter) for letter in "abcd"]) / num_draws
    expected = np.array(exact) / np.sum(exact)
    assert (np.abs(shares - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / num_draws)).all()
