import dataclasses
import string
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from minigpt_pipeline.model import quality
from minigpt_pipeline.model.generation import Writer
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.quality import measure_ends, write_beside
from minigpt_pipeline.parameters import SamplingParameters
from minigpt_pipeline.text.kneser_ney import train_ngram_model
from minigpt_pipeline.text.reference_reviews import ReferenceReviews
from minigpt_pipeline.text.training_copies import TrainingCopies
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

REVIEWS = pa.table({"token_ids": pa.array([[2 + row] * 12 for row in range(9)], pa.list_(pa.int32()))})
SAMPLING = SamplingParameters(
    temperature=1.0, top_k=None, top_p=None, no_repeat_ngram_size=1, max_new_tokens=9, stop_token=None
)


@pytest.fixture
def reference(letters: WordTokenizer) -> ReferenceReviews:
    return ReferenceReviews(REVIEWS, TrainingCopies(REVIEWS), train_ngram_model(REVIEWS, 28), letters)


def test_write_beside_writes_names_as_people_do(model: MiniGPT) -> None:
    words = [2 * letter for letter in string.ascii_lowercase]
    names = WordTokenizer(Vocabulary(("", "[UNK]", *words)), forms=("BB", "Dd"))
    reference = ReferenceReviews(REVIEWS, TrainingCopies(REVIEWS), train_ngram_model(REVIEWS, 28), names)

    written = write_beside(reference, Writer(model), SAMPLING)

    for row in written.rows:
        first, *others = row["text"].split()
        casing = {"bb": "BB", "dd": "Dd"}
        expected = [casing.get(first, first.capitalize()), *(casing.get(word, word) for word in others)]
        assert row["readable_text"].split() == expected


def test_write_beside_begins_each_text_as_a_review_begins(
    model: MiniGPT, reference: ReferenceReviews
) -> None:
    written = write_beside(reference, Writer(model), SAMPLING)

    assert [(row["prompt"], row["seed"]) for row in written.rows] == list(
        zip("abcdefghi", range(9), strict=True)
    )
    for row in written.rows:
        assert row["text"].split()[0] == row["prompt"]
        assert len(row["text"].split()) == 10
        assert row["readable_text"].lower() == row["text"]
    assert written.figures["texts"] == 9
    assert (written.figures["mean_length"], written.figures["unk_rate"]) == (10, 0)
    assert written.figures["human_seq_rep_4"] == pytest.approx(6 / 7)


def test_write_beside_blocks_no_repetition(
    make_model: Callable[..., MiniGPT], reference: ReferenceReviews
) -> None:
    """Of two letters, ten words repeat some: the sampling would forbid it."""
    letters = WordTokenizer(Vocabulary(("", "[UNK]", *"abcdefghi")))
    model = make_model(vocabulary_size=11)
    model.output_layer.bias.assign([0.0, 0.0, 50.0, 50.0, *[0.0] * 7])

    written = write_beside(dataclasses.replace(reference, tokenizer=letters), Writer(model), SAMPLING)

    assert {word for row in written.rows for word in row["text"].split()[1:]} == {"a", "b"}
    assert not any(row["ended"] for row in written.rows)


@pytest.mark.parametrize(("end_bias", "length", "ended_share"), [(100.0, 1, 1), (-100.0, 13, 0)])
def test_measure_ends_writes_until_the_model_ends_a_text(
    model: MiniGPT, reference: ReferenceReviews, end_bias: float, length: int, ended_share: int
) -> None:
    model.output_layer.bias.assign([end_bias, *[0.0] * 27])

    figures = measure_ends(reference, Writer(model, has_learnt_ends=True), SAMPLING, 5, 13)

    assert (figures["whole_mean_length"], figures["whole_ended_share"]) == (length, ended_share)
    assert (figures["human_whole_mean_length"], figures["human_whole_ended_share"]) == (12, 1)


def test_measure_ends_begins_as_reviews_from_all_over_the_table(
    model: MiniGPT, reference: ReferenceReviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[int]] = []
    continue_texts = quality.continue_texts

    def listen(writer: Writer, tokenizer: WordTokenizer, prompts: list[list[int]], *others: Any) -> Any:
        begun.extend(prompts)
        return continue_texts(writer, tokenizer, prompts, *others)

    monkeypatch.setattr(quality, "continue_texts", listen)

    measure_ends(reference, Writer(model, has_learnt_ends=True), SAMPLING, 3, 5)
    measure_ends(reference, Writer(model, has_learnt_ends=True), SAMPLING, 99, 5)

    assert begun == [[2], [5], [8], *reference.beginnings]
