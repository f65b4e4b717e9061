"""How well a model predicts reviews of films that it has never seen."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import ComputeSettings, EvaluationParameters
from minigpt_pipeline.progress import showing_progress
from minigpt_pipeline.text.evaluation_windows import MEASURED_WORDS, make_evaluation_windows
from minigpt_pipeline.text.incoming_batch import ID_OF_NEW_REVIEWS
from minigpt_pipeline.text.kneser_ney import ORDER, NgramModel, train_ngram_model
from minigpt_pipeline.text.spelling_model import train_spelling_model
from minigpt_pipeline.text.synthetic_reviews import log_probabilities
from minigpt_pipeline.text.token_places import cut_reviews
from minigpt_pipeline.text.token_tables import check_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import count_words
from minigpt_pipeline.text.word_losses import (
    WordLosses,
    calibration_error,
    calibration_table,
    perplexity,
    spell_unknown_words,
    tabulate_slices,
)

logger = logging.getLogger(__name__)

MODEL_COLOUR, NEUTRAL_COLOUR = "#4269d0", "#6b7280"


def count_ngrams(train_token_ids: pa.Table, tokenizer: Tokenizer) -> NgramModel:
    """Train what counting alone reaches: a 5-gram model with interpolated modified Kneser-Ney smoothing.

    Args:
        train_token_ids: Column `token_ids`; all tokens of the reviews of the training films.
        tokenizer: Whose ids they are.

    Raises:
        ValueError: If they are not.
    """
    check_tokens(train_token_ids, tokenizer)
    with showing_progress("Counting n-grams", ORDER, "lengths") as advance:
        return train_ngram_model(train_token_ids, len(tokenizer), ORDER, advance)


def measure_baselines(
    ngram_model: NgramModel,
    train_token_ids: pa.Table,
    test_token_ids: pa.Table,
    tokenizer: Tokenizer,
    evaluation: EvaluationParameters,
) -> tuple[dict[str, float], pa.Table]:
    """Measure what a model has to be better than, on the words that it is measured on.

    Args:
        ngram_model: The 5-gram model.
        train_token_ids: Column `token_ids`, of the training films.
        test_token_ids: The same of the test films.
        tokenizer: Whose ids they are.
        evaluation: Supplies the seed of the intervals.

    Returns:
        Perplexities per word, with their 95 % intervals over reviews as `..._low` and `..._high`:
        `test/uniform_perplexity` (all tokens alike), `test/unigram_perplexity` (their frequencies alone),
        `test/kneser_ney_perplexity`. Then column `loss`, float64: the 5-gram model's of each measured word, in nats.
    """
    measured, placed = cut_reviews(test_token_ids, tokenizer, MEASURED_WORDS)
    is_scored = placed.positions > 1
    baselines = {
        f"{name}_perplexity": train_ngram_model(train_token_ids, ngram_model.vocabulary_size, order)
        for name, order in (("uniform", 0), ("unigram", 1))
    }
    baselines["kneser_ney_perplexity"] = ngram_model
    metrics: dict[str, float] = {}
    for name, model in baselines.items():
        losses = -model.log_probabilities_of_lists(measured).flatten().to_numpy()  # (num_tokens,)
        scored = WordLosses.from_tokens(losses[is_scored], placed.take(is_scored))
        low, high = scored.interval(evaluation.seed)
        metrics |= {
            f"test/{name}": scored.perplexity(),
            f"test/{name}_low": perplexity(low),
            f"test/{name}_high": perplexity(high),
        }
    return metrics, pa.table({"loss": scored.losses})


def measure_spellings(train_token_ids: pa.Table, test_token_ids: pa.Table) -> pa.Table:
    """Measure how surprising the spelling of each word is that stands behind an `[UNK]` of the test films.

    Args:
        train_token_ids: Column `unknown_words`, of the training films: what spelling is learnt from.
        test_token_ids: The same of the test films.

    Returns:
        Column `surprisal`, float64, in nats: of all unknown words of the test reviews, one behind the other.
    """
    train_words, test_words = (
        table["unknown_words"].combine_chunks() for table in (train_token_ids, test_token_ids)
    )
    spelling_model = train_spelling_model(count_words(train_words))
    return pa.table({"surprisal": spelling_model.surprisals(test_words.flatten().to_pylist())})


def evaluate_model(
    trained_model: TrainedModel,
    test_token_ids: pa.Table,
    test_spellings: pa.Table,
    baseline_metrics: dict[str, float],
    test_ngram_losses: pa.Table,
    evaluation: EvaluationParameters,
    compute: ComputeSettings,
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Measure the held-out loss of a model, and the source's own where it is known.

    Args:
        trained_model: The model and its tokenizer.
        test_token_ids: Columns `review_id`, `token_ids`, `unknown_words`, `rating`; the reviews of the test films.
        test_spellings: What `measure_spellings` returns.
        baseline_metrics: What `measure_baselines` returns first.
        test_ngram_losses: And second.
        evaluation: Supplies the batch size, the seed of the intervals, and the grammar that wrote the corpus, if any.
        compute: Where the model computes.

    Returns:
        Metrics: see `summarize_losses`, `summarize_characters` and `measure_baselines`; `test/tokens_per_word` of the
        measured words; `test/kneser_ney_ratio` (the model's perplexity divided by that of the 5-gram model), its 95 %
        interval as `..._low` and `..._high`; `test/calibration_error`; where the source is known, also what
        `compare_with_source` returns. Then slices (see `tabulate_slices`), and the calibration of the tokens of the
        measured words (see `calibration_table`).

    Raises:
        ValueError: If the reviews are not of new data and the configured source has not written them.
    """
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.evaluation import Evaluator

    configure_compute(compute)
    model, tokenizer = trained_model.load_model(), trained_model.tokenizer
    whole, measured = (
        make_evaluation_windows(
            test_token_ids, tokenizer, model.sequence_length, max_words, trained_model.has_learnt_ends
        )
        for max_words in (None, MEASURED_WORDS)
    )
    evaluator = Evaluator(model, evaluation.batch_size)
    with showing_progress("Measuring losses", len(whole.scored), "tokens") as advance:
        losses = evaluator.score(whole, advance)
    metrics = baseline_metrics | summarize_losses(losses, evaluation.seed)
    surprisals = test_spellings["surprisal"].to_numpy()
    spelled = spell_unknown_words(losses, test_token_ids, tokenizer, surprisals)
    metrics |= summarize_characters(spelled, evaluation.seed)
    metrics["test/tokens_per_word"] = len(measured.scored) / metrics["test/words"]
    metrics |= compare_losses(losses, test_ngram_losses["loss"].to_numpy(), evaluation.seed)
    if evaluation.known_source == "synthetic_reviews":
        metrics |= compare_with_source(test_token_ids, tokenizer, metrics["test/loss"])
    with showing_progress("Measuring calibration", len(measured.scored), "tokens") as advance:
        probabilities, predicted = evaluator.predict(measured, advance)
    calibration = calibration_table(probabilities, predicted == measured.scored.tokens)
    metrics["test/calibration_error"] = calibration_error(calibration)
    slices = tabulate_slices(losses, test_token_ids["rating"].to_pylist(), evaluation.seed)
    return metrics, slices, calibration


def summarize_losses(losses: WordLosses, seed: int) -> dict[str, float]:
    """Reduce the losses of whole reviews to the figures that runs are compared by.

    Args:
        losses: Of every word of the reviews from the second on.
        seed: Of the intervals.

    Returns:
        The measure, over words 2 to 81 of each review: `test/loss` (nats per word), `test/perplexity`, both with their
        95 % intervals over reviews as `..._low` and `..._high`; `test/unk_rate` (share of `[UNK]`), `test/words` (their
        number); `test/known_perplexity` (of all but `[UNK]`). `test/review_loss`, `test/review_perplexity` and
        `test/review_words` are of all words.
    """
    measured = losses.where(losses.positions <= MEASURED_WORDS)
    low, high = measured.interval(seed)
    return {
        "test/loss": measured.mean(),
        "test/loss_low": low,
        "test/loss_high": high,
        "test/perplexity": measured.perplexity(),
        "test/perplexity_low": perplexity(low),
        "test/perplexity_high": perplexity(high),
        "test/known_perplexity": measured.known().perplexity(),
        "test/unk_rate": measured.unknown_rate(),
        "test/words": float(len(measured)),
        "test/review_loss": losses.mean(),
        "test/review_perplexity": losses.perplexity(),
        "test/review_words": float(len(losses)),
    }


def compare_losses(losses: WordLosses, ngram_losses: np.ndarray, seed: int) -> dict[str, float]:
    """Hold a model against the 5-gram model, on the same words of the same reviews.

    Args:
        losses: Of every word of the reviews from the second on.
        ngram_losses: float64, (num_measured,): the 5-gram model's of words 2 to 81 of each review, in nats.
        seed: Of the interval.

    Returns:
        `test/kneser_ney_ratio`, of the two perplexities, and its 95 % interval over reviews as `..._low` and
        `..._high`.
    """
    measured = losses.where(losses.positions <= MEASURED_WORDS)
    difference = replace(measured, losses=measured.losses - ngram_losses)
    low, high = difference.interval(seed)
    return {
        "test/kneser_ney_ratio": difference.perplexity(),
        "test/kneser_ney_ratio_low": perplexity(low),
        "test/kneser_ney_ratio_high": perplexity(high),
    }


def summarize_characters(losses: WordLosses, seed: int) -> dict[str, float]:
    """Reduce losses to what models with different tokenizers are compared by.

    Args:
        losses: Of every word of the reviews from the second on, unknown ones spelled out.
        seed: Of the interval.

    Returns:
        Of words 2 to 81 of each review and the space before each: `test/bits_per_character`, its 95 % interval over
        reviews as `..._low` and `..._high`, and `test/characters` (their number).
    """
    measured = losses.where(losses.positions <= MEASURED_WORDS)
    low, high = measured.bits_per_character_interval(seed)
    return {
        "test/bits_per_character": measured.bits_per_character(),
        "test/bits_per_character_low": low,
        "test/bits_per_character_high": high,
        "test/characters": float(measured.characters.sum()),
    }


def compare_with_source(test_token_ids: pa.Table, tokenizer: Tokenizer, loss: float) -> dict[str, float]:
    """Hold a model against the grammar that wrote the reviews.

    Args:
        test_token_ids: Columns `review_id` and `token_ids`.
        tokenizer: Turns the ids back into words.
        loss: The model's, in nats per word.

    Returns:
        `test/source_loss` (the grammar's exact loss on the same words) and `test/excess_loss` (the model's less that);
        nothing where the test films have reviews of new data that the grammar can't have written.

    Raises:
        ValueError: If it can't have written a review that is not of new data.
    """
    try:
        source_loss = measure_source_loss(test_token_ids, tokenizer)
    except ValueError:
        is_new = pc.starts_with(test_token_ids["review_id"], ID_OF_NEW_REVIEWS)
        if not pc.any(is_new).as_py():
            raise
        measure_source_loss(test_token_ids.filter(pc.invert(is_new)), tokenizer)
        logger.info(
            "The test films have reviews that the known source can't have written: its loss is left out"
        )
        return {}
    return {"test/source_loss": source_loss, "test/excess_loss": loss - source_loss}


def measure_source_loss(token_ids: pa.Table, tokenizer: Tokenizer) -> float:
    """Return the exact loss of the grammar that wrote the reviews on the measured words, in nats per word.

    Args:
        token_ids: Column `token_ids`.
        tokenizer: Turns the ids back into words.
    """
    measured, _ = cut_reviews(token_ids, tokenizer, MEASURED_WORDS)
    texts = [tokenizer.decode(review) for review in measured["token_ids"].to_pylist()]
    scored = [log_probabilities(text.split(" "))[1:] for text in texts if text]
    return float(-np.concatenate(scored).mean())


def plot_calibration(calibration: pd.DataFrame) -> Any:
    """Draw how often the most probable token is right, against how sure the model is of it.

    Args:
        calibration: Columns `confidence` and `accuracy`; see `calibration_table`.

    Returns:
        A matplotlib `Figure`; the annotation would load matplotlib in every run.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=NEUTRAL_COLOUR, linestyle="--", label="as sure as right")
    axes.plot(
        calibration["confidence"], calibration["accuracy"], color=MODEL_COLOUR, marker="o", label="model"
    )
    axes.set_xlabel("probability of the most probable token")
    axes.set_ylabel("share of places where it comes")
    axes.set_title("Calibration", loc="left", fontweight="bold")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.grid(color=NEUTRAL_COLOUR, alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
