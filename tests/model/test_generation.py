from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigpt_pipeline.model.generation import (
    compile_next_logits,
    generate,
    generate_texts,
    make_sample_rows,
    write_samples,
)
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import GenerationParameters, SamplingParameters
from minigpt_pipeline.text.vocabulary import Vocabulary


def sampling(**settings: Any) -> SamplingParameters:
    return SamplingParameters(
        **{"temperature": 1.0, "top_k": 10, "max_new_tokens": 12, "stop_token": None} | settings
    )


def greedy_by_hand(model: MiniGPT, prompt: list[int], length: int) -> list[int]:
    """The whole model on the newest eight words, each time anew."""
    text = list(prompt)
    for _ in range(length):
        logits = np.array(model(np.array([text[-8:]])))[0, -1]
        text.append(int(logits[2:].argmax()) + 2)
    return text[len(prompt) :]


@pytest.mark.parametrize("prompt", [[5], [2, 3, 4], list(range(2, 22))])
def test_generate_takes_the_most_probable_word_after_the_newest_ones(
    model: MiniGPT, prompt: list[int]
) -> None:
    (text,) = generate(model, [prompt], sampling(temperature=0.0), None, seeds=[0])

    assert text == greedy_by_hand(model, prompt, 12)


@pytest.mark.parametrize("max_new_tokens", [1, 7, 30])
def test_generate_writes_exactly_max_new_tokens(model: MiniGPT, max_new_tokens: int) -> None:
    texts = generate(model, [[2], [3, 4]], sampling(max_new_tokens=max_new_tokens), None, seeds=[1, 2])

    assert [len(text) for text in texts] == [max_new_tokens] * 2


def test_generate_reads_the_newest_words_of_a_long_prompt(model: MiniGPT) -> None:
    model.output_layer.kernel.assign(
        20 * model.output_layer.kernel
    )  # fresh weights expect nearly the same of any text
    newest = [9, 8, 7, 6, 5, 4, 3, 2]

    long, short, other = generate(
        model, [[20, 21, 22, *newest], newest, [*newest, 20, 21, 22]], sampling(), None, seeds=[4, 4, 4]
    )

    assert long == short != other


def test_generate_stops_after_the_stop_word_and_keeps_it(model: MiniGPT) -> None:
    whole = generate(model, [[2], [3]], sampling(), None, seeds=[1, 2])
    stop_id = whole[0][4]

    stopped = generate(model, [[2], [3]], sampling(), stop_id, seeds=[1, 2])

    for text, stopped_text in zip(whole, stopped, strict=True):
        end = text.index(stop_id) + 1 if stop_id in text else len(text)
        assert stopped_text == text[:end]
    assert len(stopped[0]) <= 5


def test_generate_writes_the_same_text_whatever_else_is_written(model: MiniGPT) -> None:
    alone = generate(model, [[2, 3]], sampling(), None, seeds=[7])
    among = generate(
        model, [[5]] * 4 + [[2, 3]] + [[9, 9]] * 6, sampling(), None, seeds=[*range(4), 7, *range(6)]
    )

    assert among[4] == alone[0]


def test_next_logits_are_bit_equal_in_every_row(model: MiniGPT) -> None:
    windows = np.tile(np.array([3, 4, 5, 6, 0, 0, 0, 0], dtype="int32"), (8, 1))
    windows[1::2] = 9

    logits = compile_next_logits(model)(windows, np.full(8, 3, dtype="int32")).numpy()

    assert all(np.array_equal(logits[row], logits[0]) for row in (2, 4, 6))


def test_generate_gives_another_text_for_another_seed(model: MiniGPT) -> None:
    first, again, other = generate(model, [[2, 3]] * 3, sampling(), None, seeds=[7, 7, 8])

    assert first == again != other


def test_generate_compiles_once(model: MiniGPT) -> None:
    for prompts in ([[2]], [[2, 3, 4]] * 9, [list(range(2, 20))]):
        generate(model, prompts, sampling(), None, seeds=[0] * len(prompts))

    assert compile_next_logits(model).experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("prompts", "seeds", "message"),
    [([[2], []], [0, 0], r"prompts\[1\] is empty"), ([[2], [3]], [0], "2 prompts and 1 seeds")],
)
def test_generate_refuses(model: MiniGPT, prompts: list[list[int]], seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(model, prompts, sampling(), None, seeds)


@pytest.fixture
def trained_model(model: MiniGPT, letters: Vocabulary) -> TrainedModel:
    return TrainedModel.from_model(model, letters, {"epochs": 3})


def test_generate_texts_begin_with_the_prompt_as_it_was_given(trained_model: TrainedModel) -> None:
    prompts = ["A b", "never-seen c"]

    texts = generate_texts(trained_model, prompts, sampling(max_new_tokens=4), seeds=[0, 1])

    for prompt, text in zip(prompts, texts, strict=True):
        assert text.startswith(prompt + " ")
        assert all(len(word) == 1 for word in text.removeprefix(prompt).split())
        assert len(text.removeprefix(prompt).split()) == 4


def test_generate_texts_reads_words_that_it_does_not_know_as_unknown(
    trained_model: TrainedModel, model: MiniGPT, letters: Vocabulary
) -> None:
    (text,) = generate_texts(trained_model, ["Zebra a"], sampling(temperature=0.0), seeds=[0])

    assert text.split()[2:] == letters.decode(greedy_by_hand(model, [1, 2], 12))


def test_generate_texts_refuses_a_prompt_without_a_word(trained_model: TrainedModel) -> None:
    with pytest.raises(ValueError, match="'<br />' has no word"):
        generate_texts(trained_model, ["a", "<br />"], sampling(), seeds=[0, 0])


def test_generate_texts_refuses_a_stop_token_that_is_no_word(trained_model: TrainedModel) -> None:
    with pytest.raises(ValueError, match="stop_token='fin' is not one of the 28 words"):
        generate_texts(trained_model, ["a"], sampling(stop_token="fin"), seeds=[0])


def test_write_samples_has_a_row_for_each_prompt_and_seed(trained_model: TrainedModel) -> None:
    generation = GenerationParameters(
        prompts=["a b", "c"], seeds=[8, 9, 10], sampling=sampling(max_new_tokens=3)
    )

    rows = write_samples(trained_model, generation)

    assert [(row["prompt"], row["sample"], row["seed"]) for row in rows] == [
        (prompt, sample, 8 + sample) for prompt in ("a b", "c") for sample in range(3)
    ]
    assert {key: rows[0][key] for key in ("epoch", "temperature", "top_k")} == {
        "epoch": 3,
        "temperature": 1.0,
        "top_k": 10,
    }
    assert all(len(row["text"].split()) == len(row["prompt"].split()) + 3 for row in rows)


def test_make_sample_rows_writes_the_same_again(
    make_model: Callable[..., MiniGPT], letters: Vocabulary
) -> None:
    generation = GenerationParameters(prompts=["a b"], seeds=[8, 9], sampling=sampling())

    first, again = (make_sample_rows(make_model(), letters, generation, epoch=1) for _ in range(2))

    assert first == again
