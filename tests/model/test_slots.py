"""What `tests/model/test_generation.py` can't see in whole texts alone: texts that come and go."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from minigpt_pipeline.model.few_rows import Scores
from minigpt_pipeline.model.generation import Writer
from minigpt_pipeline.model.generation_loop import GROUP_SIZES, MANY_ROWS, USUAL_ROWS, list_cache_lengths
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.slots import Slots, WrittenText
from minigpt_pipeline.parameters import SamplingParameters

FURTHER = {"top_k": 5, "top_p": None, "stop_token": None}


def begin(
    writer: Writer, prompt: list[int], seed: int, stop_id: int | None = None, **settings: Any
) -> WrittenText:
    sampling = SamplingParameters(**{"temperature": 1.0, "max_new_tokens": 12} | FURTHER | settings)
    return writer.begin(prompt, sampling, stop_id, seed)


def write_alone(writer: Writer, text: WrittenText) -> list[int]:
    """The words of the same text with all slots to itself."""
    alone = WrittenText(text.prompt, text.choice, text.max_new_words, text.may_end, text.stop_id, text.seed)
    slots = writer.make_slots()
    slots.add([alone])
    while slots.texts:
        slots.advance(1000, waits=True)
    return alone.word_ids


def make_unlike_texts(writer: Writer, count: int, longest: int) -> list[WrittenText]:
    rng = np.random.default_rng(9)
    unlike: list[dict[str, Any]] = [
        {},
        {"temperature": 0.0},
        {"top_k": None, "top_p": 0.6},
        {"top_k": None},
        {"top_k": None, "min_p": 0.03, "temperature": 1.4},
        {"repetition_penalty": 1.7, "top_k": None},
        {"no_repeat_ngram_size": 2},
        {"no_repeat_ngram_size": 1, "repetition_penalty": 1.2, "top_p": 0.9},
        {"stop_at_end_of_review": True, "top_k": None},
        {"stop_id": 7},
    ]
    return [
        begin(
            writer,
            rng.integers(2, 28, size=rng.integers(1, longest + 1)).tolist(),
            seed,
            **{"max_new_tokens": int(rng.integers(1, 40))} | unlike[seed % len(unlike)],
        )
        for seed in range(count)
    ]


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({}, marks=pytest.mark.full),
        {"output_layer": "adaptive", "num_frequent_words": 10, "rare_word_dim": 8},
    ],
)
def test_a_text_is_the_same_whenever_it_comes_and_whatever_is_beside_it(
    make_model: Callable[..., MiniGPT], sizes: dict[str, Any]
) -> None:
    """Ninety texts with settings of their own come and go in slots of all sizes; contexts fill and begin again."""
    model = make_model(sequence_length=40, **sizes)
    writer = Writer(model, has_learnt_ends=True)
    texts = make_unlike_texts(writer, 90, longest=50)
    slots, rng = writer.make_slots(), np.random.default_rng(2)
    waiting, sizes_seen, told = list(texts), set(), {text: [] for text in texts}
    for most in [1, 5, 8, 30, 64, 3, 12, 1, 64] * 40:
        free = max(most - len(slots.texts), 0)
        coming, waiting = waiting[:free], waiting[free:]
        slots.add(coming)
        turns = int(rng.integers(1, 9))
        for text, words in slots.advance(
            turns, tells_ends=bool(turns % 2), tells_first_words=bool(turns % 3), waits=bool(turns % 5 == 0)
        ).items():
            told[text] += words
        sizes_seen.add(len(slots._texts))

    assert not waiting
    assert not slots.texts
    assert sizes_seen == set(GROUP_SIZES)
    assert all(text.has_ended for text in texts)
    assert [text.word_ids for text in texts] == [write_alone(writer, text) for text in texts]
    assert all([word for word in told[text] if word] == text.word_ids for text in texts)
    assert {text.ended_itself for text in texts} == {True, False}


@pytest.mark.full
def test_texts_are_the_same_where_caches_grow_and_shrink(make_model: Callable[..., MiniGPT]) -> None:
    """Prompts of every length up to the context, and texts that begin again in it."""
    model = make_model(sequence_length=40)
    assert list_cache_lengths(40, MANY_ROWS) == [16, 32, 40]
    writer, rng = Writer(model), np.random.default_rng(4)
    rooms = set()
    for longest in (3, 30):
        texts = [
            begin(
                writer,
                rng.integers(2, 28, size=rng.integers(1, longest + 1)).tolist(),
                seed,
                max_new_tokens=60,
            )
            for seed in range(MANY_ROWS)
        ]
        slots = writer.make_slots()
        slots.add(texts)
        while slots.texts:
            slots.advance(7)
            rooms.add(slots._room)
        assert [text.word_ids for text in texts] == [write_alone(writer, text) for text in texts]
    assert rooms == {16, 32, 40}


def test_a_text_that_is_removed_leaves_the_others_as_they_are(model: MiniGPT) -> None:
    writer = Writer(model)
    texts = [begin(writer, [2 + seed], seed) for seed in range(5)]
    slots = writer.make_slots()
    slots.add(texts)
    slots.advance(4)

    slots.remove(texts[2])
    while slots.texts:
        slots.advance(3)

    assert len(texts[2].word_ids) == 4
    assert not texts[2].has_ended
    for text in (texts[0], texts[1], texts[3], texts[4]):
        assert text.word_ids == write_alone(writer, text)


def test_advance_tells_at_once_of_first_words_and_of_ends(model: MiniGPT) -> None:
    writer = Writer(model)
    early, late = begin(writer, [3], 0, max_new_tokens=5), begin(writer, [3, 4, 5, 6], 1, max_new_tokens=9)
    slots = writer.make_slots()
    slots.add([early, late])

    def advance() -> list[int]:
        told = slots.advance(100, tells_ends=True, tells_first_words=True)
        return [len(told.get(text, [])) for text in (early, late)]

    assert [advance() for _ in range(4)] == [[1, 0], [3, 1], [1, 1], [0, 7]]
    assert slots.advance(100) == {}


def test_the_output_layer_is_spent_once_for_each_word_of_texts_that_wait(
    make_model: Callable[..., MiniGPT], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of different lengths wait for each other; they are not drawn one after another."""
    model, spent = make_model(), tf.Variable(0)
    plain = model.score_next_words

    def counted(states: tf.Tensor, arranged: tf.Tensor) -> Scores:
        spent.assign_add(1)
        return plain(states, arranged)

    monkeypatch.setattr(model, "score_next_words", counted)
    writer = Writer(model)
    slots = make_slots_with(writer, [[2], [3] * 8, [4] * 5], max_new_tokens=20)

    slots.advance(1000, waits=True)

    assert not slots.texts
    assert spent.numpy() == 20


def test_a_word_is_read_once_but_for_those_that_wait(
    make_model: Callable[..., MiniGPT], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five words of the longest prompt together, then one before each draw."""
    model, steps = make_model(), tf.Variable(0)
    plain = model.step

    def counted(*args: Any) -> Any:
        steps.assign_add(1)
        return plain(*args)

    monkeypatch.setattr(model, "step", counted)
    slots = make_slots_with(Writer(model), [[2], [3] * 6, [4] * 5], max_new_tokens=2)

    slots.advance(1000, waits=True)

    assert not slots.texts
    assert steps.numpy() == 5 + 2


def make_slots_with(writer: Writer, prompts: list[list[int]], **settings: Any) -> Slots:
    slots = writer.make_slots()
    slots.add(begin(writer, prompt, 0, **settings) for prompt in prompts)
    assert len(slots._texts) == USUAL_ROWS
    return slots
