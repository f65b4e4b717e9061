import logging
from typing import Any

import pytest

from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.text_generator import PRINTED_PROMPTS, TextGenerator
from minigpt_pipeline.parameters import GenerationParameters, SamplingParameters
from minigpt_pipeline.text.word_tokenizer import WordTokenizer


def make_generation(prompts: list[str], **changed: Any) -> GenerationParameters:
    settings = {"temperature": 1.0, "top_k": 3, "top_p": None, "max_new_tokens": 2, "stop_token": None}
    sampling = SamplingParameters(**settings | changed)
    return GenerationParameters(prompts=prompts, seeds=[0, 1], sampling=sampling)


def test_text_generator_records_every_nth_epoch(
    model: MiniGPT, letters: WordTokenizer, training_log: Any
) -> None:
    generator = TextGenerator(letters, make_generation(["a b", "Zebra a"]), 2, training_log)
    generator.set_model(model)

    for epoch in range(5):
        generator.on_epoch_end(epoch)

    assert [row["epoch"] for row in training_log.samples] == [2] * 4 + [4] * 4
    assert [row["prompt"] for row in training_log.samples[:4]] == ["a b", "a b", "Zebra a", "Zebra a"]
    assert all(row["text"].startswith(row["prompt"] + " ") for row in training_log.samples)


def test_text_generator_prints_a_text_of_each_of_the_first_prompts(
    model: MiniGPT, letters: WordTokenizer, training_log: Any, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = [f"Prompt {letter}" for letter in "abcdefg"]
    generator = TextGenerator(letters, make_generation(prompts), 1, training_log)
    generator.set_model(model)

    with caplog.at_level(logging.INFO):
        generator.on_epoch_end(0)

    assert [
        message.lower().startswith(f"epoch 1 writes: {prompt} ".lower())
        for message, prompt in zip(caplog.messages, prompts, strict=False)
    ] == [True] * PRINTED_PROMPTS
    assert len(training_log.samples) == 14


def test_text_generator_ends_texts_where_the_model_ends_them(
    model: MiniGPT, letters: WordTokenizer, training_log: Any
) -> None:
    model.output_layer.bias.assign([100.0, *[0.0] * 27])
    generation = make_generation(["a b"], stop_at_end_of_review=True)
    generator = TextGenerator(letters, generation, 1, training_log, has_learnt_ends=True)
    generator.set_model(model)

    generator.on_epoch_end(0)

    assert [(row["text"], row["ended"]) for row in training_log.samples] == [("a b", True)] * 2


@pytest.mark.parametrize(
    ("prompts", "changed", "problem"),
    [
        (["a"], {"stop_at_end_of_review": True}, "stop_at_end_of_review=true"),
        (["a"], {"stop_token": "fin"}, "stop_token='fin' is no word"),
        (["a"], {"stop_token": "[UNK]"}, r"stop_token='\[UNK\]' is no word"),
        (["a", "<br />"], {}, "The prompt '<br />' has no word in it"),
    ],
)
def test_text_generator_refuses_before_the_training_what_cannot_be_written(
    letters: WordTokenizer, training_log: Any, prompts: list[str], changed: dict[str, Any], problem: str
) -> None:
    generation = make_generation(prompts, **changed)

    with pytest.raises(ValueError, match=problem):
        TextGenerator(letters, generation, 1, training_log)
