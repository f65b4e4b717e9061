"""Texts from a trained model, and pictures of how it came to them."""

import textwrap
from bisect import bisect_right
from itertools import accumulate
from typing import Any

import pandas as pd
import pyarrow as pa

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import ComputeSettings, GenerationParameters
from minigpt_pipeline.text.kneser_ney import NgramModel
from minigpt_pipeline.text.reference_reviews import ReferenceReviews
from minigpt_pipeline.text.standardization import to_words

TEXT_WIDTH = 110  # characters of a line in the picture of the samples
QUALITY_COLUMNS = ("prompt", "text", "readable_text", "ended", "seed")
MODEL_COLOUR, VALIDATION_COLOUR, NEUTRAL_COLOUR = "#4269d0", "#d1495b", "#6b7280"


def generate_samples(
    trained_model: TrainedModel, generation: GenerationParameters, compute: ComputeSettings
) -> pd.DataFrame:
    """Write one text for each prompt and seed, the same in every run, so that runs can be compared.

    Args:
        trained_model: The model and its tokenizer.
        generation: Prompts, seeds, and how the next word is chosen.
        compute: Where the model computes.

    Returns:
        One row a text: `prompt`, `readable_text` (prompt and continuation as people write them), `epoch` (epochs that
        the model was trained for), `sample` (number of the text of this prompt, from 0), `text` (the same, as tokens),
        `ended` (bool: by itself, not because it had `max_new_tokens`), `temperature`, `top_k` (Int64), `top_p`,
        `min_p`, `repetition_penalty` (Float64), `no_repeat_ngram_size` (Int64; these are null where they are off),
        `seed`.
    """
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.generation import write_samples

    configure_compute(compute)
    rows = write_samples(trained_model, generation)
    return pd.DataFrame(rows).astype(
        dict.fromkeys(("top_k", "no_repeat_ngram_size"), "Int64")
        | dict.fromkeys(("top_p", "min_p", "repetition_penalty"), "Float64")
    )


def measure_quality(
    trained_model: TrainedModel,
    train_token_ids: pa.Table,
    test_token_ids: pa.Table,
    ngram_model: NgramModel,
    generation: GenerationParameters,
    compute: ComputeSettings,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Write many texts, each from the first word of a review, and measure them beside such reviews.

    Args:
        trained_model: The model and its tokenizer.
        train_token_ids: Columns `token_ids` and `unknown_words`: what texts may have been copied from.
        test_token_ids: The same of films that no model was trained on.
        ngram_model: The 5-gram model of the training films.
        generation: Supplies how many texts, and how the next word is chosen.
        compute: Where the model computes.

    Returns:
        One row a text: `prompt`, `text`, `readable_text`, `ended` (see `generate_samples`), `seed`; and the figures of
        all, `gen/...` (see `ReferenceReviews.measure` and `measure_ends`), which count tokens. No row and no figure
        where no texts shall be measured.
    """
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.generation import Writer
    from minigpt_pipeline.model.quality import measure_ends, write_beside

    if generation.quality_texts is None:
        return pd.DataFrame(columns=list(QUALITY_COLUMNS)), {}
    configure_compute(compute)
    reference = ReferenceReviews.choose(
        test_token_ids, train_token_ids, ngram_model, trained_model.tokenizer, generation.quality_texts
    )
    writer = Writer(trained_model.load_model(), trained_model.has_learnt_ends)
    written = write_beside(reference, writer, generation.sampling)
    figures = written.figures
    if generation.whole_texts and trained_model.has_learnt_ends:
        figures = figures | measure_ends(
            reference, writer, generation.sampling, generation.whole_texts, generation.max_whole_tokens
        )
    named = {f"gen/{name}": value for name, value in figures.items()}
    return pd.DataFrame(written.rows, columns=list(QUALITY_COLUMNS)), named


def plot_samples(generated_samples: pd.DataFrame) -> Any:
    """Draw the generated texts as a page that can be read at a glance.

    Args:
        generated_samples: What `generate_samples` returns.

    Returns:
        A matplotlib `Figure`; the annotation would load matplotlib in every run.
    """
    from matplotlib.figure import Figure

    texts = zip(generated_samples["prompt"], generated_samples["readable_text"], strict=True)
    blocks = [(prompt, textwrap.wrap(text, TEXT_WIDTH)) for prompt, text in texts]
    num_lines = sum(len(lines) + 1 for _, lines in blocks)
    figure = Figure(figsize=(9, 0.6 + 0.22 * num_lines), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(num_lines, 0)
    axes.set_title("Generated reviews", loc="left", fontweight="bold")
    line = 0
    for prompt, lines in blocks:
        num_signs = len("".join(to_words(prompt)))  # a text has the prompt's, but not its spaces
        for content in lines:
            begins = _take_signs(content, num_signs)
            num_signs -= len("".join(begins.split()))
            for part, colour in ((content, "black"), (begins, MODEL_COLOUR)):
                words = part.replace("$", r"\$")  # a bare `$` would start a formula
                axes.text(0, line + 0.5, words, family="monospace", size=9, va="center", color=colour)
            line += 1
        line += 1
    return figure


def _take_signs(line: str, count: int) -> str:
    """Return the beginning of a line that has so many characters, spaces not counted."""
    return line[: bisect_right(list(accumulate(not sign.isspace() for sign in line)), count)].rstrip()


def plot_loss(training_history: pd.DataFrame) -> Any:
    """Draw the learning curve.

    Args:
        training_history: Columns `step`, `name` (`train/loss`, `val/loss`, ...) and `value`.

    Returns:
        A matplotlib `Figure`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, label, colour in (
        ("train/loss", "training, per token", MODEL_COLOUR),
        ("val/loss", "validation films, per word", VALIDATION_COLOUR),
    ):
        curve = training_history[training_history["name"] == name]
        is_validation = name == "val/loss"
        axes.plot(
            curve["step"],
            curve["value"],
            color=colour,
            label=label,
            marker="o" if is_validation else None,
            markersize=3,
        )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats)")
    axes.set_title("Learning curve", loc="left", fontweight="bold")
    axes.grid(color=NEUTRAL_COLOUR, alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
