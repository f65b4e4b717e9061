"""A model's texts and their figures beside people's reviews."""

from typing import Any, NamedTuple

import pyarrow as pa

from minigpt_pipeline.model.generation import Writer, continue_texts
from minigpt_pipeline.parameters import SamplingParameters
from minigpt_pipeline.progress import showing_progress
from minigpt_pipeline.text.detokenization import to_readable_text
from minigpt_pipeline.text.reference_reviews import ReferenceReviews, choose_reviews, list_beginnings
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.text_quality import seq_rep_4
from minigpt_pipeline.text.tokenizer import Tokenizer


class MeasuredTexts(NamedTuple):
    """What was written and measured.

    Args:
        rows: One a text: `prompt`, `text`, `readable_text`, `ended`, `seed`.
        figures: See `ReferenceReviews.measure`.
    """

    rows: list[dict[str, Any]]
    figures: dict[str, float]


def write_beside(reference: ReferenceReviews, writer: Writer, sampling: SamplingParameters) -> MeasuredTexts:
    """Write one text for each review, from its first word, and measure all of them.

    Args:
        reference: The reviews, in tokens of the model's tokenizer.
        writer: Of the model.
        sampling: How words are chosen, and how many; n-grams may be repeated, whatever it forbids.
    """
    sampling = sampling.model_copy(update={"no_repeat_ngram_size": None})
    beginnings, tokenizer = reference.beginnings, reference.tokenizer
    seeds = range(len(beginnings))
    with showing_progress("Writing texts", len(beginnings), "texts") as advance:
        written = continue_texts(writer, tokenizer, beginnings, sampling, seeds, advance)
    texts = [[*beginning, *word_ids] for beginning, (word_ids, _) in zip(beginnings, written, strict=True)]
    figures = reference.measure(texts, [ended for _, ended in written], 1 + sampling.max_new_tokens)
    rows = [
        {
            "prompt": tokenizer.decode(beginning),
            "text": text,
            "readable_text": to_readable_text(to_words(text), tokenizer.casing),
            "ended": ended,
            "seed": seed,
        }
        for beginning, text, (_, ended), seed in zip(
            beginnings, map(tokenizer.decode, texts), written, seeds, strict=True
        )
    ]
    return MeasuredTexts(rows, figures)


def measure_repetition(
    writer: Writer, tokenizer: Tokenizer, token_ids: pa.Table, sampling: SamplingParameters, num_texts: int
) -> float:
    """Return how much a model repeats itself where nothing keeps it from it: see `text_quality.seq_rep_4`.

    Args:
        writer: Of the model.
        tokenizer: Its tokens.
        token_ids: Column `token_ids`: reviews from whose first word the texts are written.
        sampling: How words are chosen, and how many; n-grams may be repeated, whatever it forbids.
        num_texts: How many, at most one for each review.
    """
    beginnings = list_beginnings(choose_reviews(token_ids, tokenizer, num_texts), tokenizer)
    sampling = sampling.model_copy(update={"no_repeat_ngram_size": None})
    with showing_progress("Writing texts", len(beginnings), "texts") as advance:
        written = continue_texts(writer, tokenizer, beginnings, sampling, range(len(beginnings)), advance)
    return seq_rep_4(
        [[*beginning, *word_ids] for beginning, (word_ids, _) in zip(beginnings, written, strict=True)]
    )


def measure_ends(
    reference: ReferenceReviews, writer: Writer, sampling: SamplingParameters, num_texts: int, max_tokens: int
) -> dict[str, float]:
    """Write texts until the model ends them, and hold their lengths against those of the reviews.

    Args:
        reference: The reviews, in tokens of the model's tokenizer.
        writer: Of a model that has learnt where reviews end.
        sampling: How words are chosen; n-grams may be repeated, and no word ends a text.
        num_texts: How many, at most one for each review.
        max_tokens: At which a text is cut, the first word counted as one.

    Returns:
        See `ReferenceReviews.measure_ends`.
    """
    until_the_end = {"max_new_tokens": max_tokens - 1, "stop_at_end_of_review": True, "stop_token": None}
    sampling = sampling.model_copy(update={"no_repeat_ngram_size": None, **until_the_end})
    reviews = reference.beginnings
    num_texts = min(num_texts, len(reviews))
    # From all over the table, which is sorted by rating.
    beginnings = [reviews[number * len(reviews) // num_texts] for number in range(num_texts)]
    with showing_progress("Writing texts to their ends", num_texts, "texts") as advance:
        written = continue_texts(writer, reference.tokenizer, beginnings, sampling, range(num_texts), advance)
    texts = [[*beginning, *word_ids] for beginning, (word_ids, _) in zip(beginnings, written, strict=True)]
    return reference.measure_ends(texts, [ended for _, ended in written], max_tokens)
