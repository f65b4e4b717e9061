"""How well a model predicts reviews of films that it has never seen."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import ComputeSettings, EvaluationParameters
from minigpt_pipeline.text.evaluation_windows import MEASURED_WORDS, make_evaluation_windows
from minigpt_pipeline.text.kneser_ney import NgramModel, train_ngram_model
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.synthetic_reviews import log_probabilities
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_losses import (
    WordLosses,
    calibration_error,
    calibration_table,
    perplexity,
    tabulate_slices,
)

MODEL_COLOUR, NEUTRAL_COLOUR = "#4269d0", "#6b7280"


def count_ngrams(train_token_ids: pa.Table, vocabulary: Vocabulary) -> NgramModel:
    """Train what counting alone reaches: a 5-gram model with interpolated modified Kneser-Ney smoothing.

    Args:
        train_token_ids: Column `token_ids`; all words of the reviews of the training films.
        vocabulary: The words.
    """
    return train_ngram_model(train_token_ids, len(vocabulary))


def measure_baselines(
    ngram_model: NgramModel, train_token_ids: pa.Table, test_token_ids: pa.Table
) -> dict[str, float]:
    """Measure what a model has to be better than, on the words that it is measured on.

    Args:
        ngram_model: The 5-gram model.
        train_token_ids: Column `token_ids`, of the training films.
        test_token_ids: The same of the test films.

    Returns:
        `test/uniform_perplexity` (all words alike), `test/unigram_perplexity` (their frequencies alone),
        `test/kneser_ney_perplexity`.
    """
    sequences = truncate(test_token_ids, MEASURED_WORDS - 1)
    baselines = {
        f"{name}_perplexity": train_ngram_model(train_token_ids, ngram_model.vocabulary_size, order)
        for name, order in (("uniform", 0), ("unigram", 1))
    }
    baselines["kneser_ney_perplexity"] = ngram_model
    return {f"test/{name}": perplexity(model.mean_loss(sequences)) for name, model in baselines.items()}


def evaluate_model(
    trained_model: TrainedModel,
    test_token_ids: pa.Table,
    baseline_metrics: dict[str, float],
    evaluation: EvaluationParameters,
    compute: ComputeSettings,
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Measure the held-out loss of a model, and the source's own where it is known.

    Args:
        trained_model: The model and its vocabulary.
        test_token_ids: Columns `review_id`, `token_ids`, `rating`; the reviews of the test films.
        baseline_metrics: What `measure_baselines` returns.
        evaluation: Supplies the batch size, the seed of the intervals, and the grammar that wrote the corpus, if any.
        compute: Where the model computes.

    Returns:
        Metrics: see `summarize_losses` and `measure_baselines`; `test/kneser_ney_ratio` (the model's perplexity divided
        by that of the 5-gram model); `test/calibration_error`; where the source is known, also `test/source_loss` (its
        exact loss on the same words) and `test/excess_loss` (the model's less that). Then the slices of all words
        (see `tabulate_slices`), and the calibration of the measured ones (see `calibration_table`).

    Raises:
        ValueError: If the corpus was not written by the configured source.
    """
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.evaluation import Evaluator

    configure_compute(compute)
    model = trained_model.load_model()
    windows = make_evaluation_windows(
        test_token_ids,
        model.sequence_length,
        max_words=None,
        begins_with_end=trained_model.has_learnt_ends,
    )
    evaluator = Evaluator(model, evaluation.batch_size)
    losses = evaluator.score(windows)
    metrics = baseline_metrics | summarize_losses(losses, evaluation.seed)
    metrics["test/kneser_ney_ratio"] = (
        metrics["test/perplexity"] / baseline_metrics["test/kneser_ney_perplexity"]
    )
    if evaluation.known_source == "synthetic_reviews":
        sequences = truncate(test_token_ids, MEASURED_WORDS - 1)
        source_loss = measure_source_loss(sequences, trained_model.vocabulary)
        metrics |= {"test/source_loss": source_loss, "test/excess_loss": metrics["test/loss"] - source_loss}
    probabilities, predicted = evaluator.predict(windows)
    is_measured = windows.positions <= MEASURED_WORDS
    calibration = calibration_table(probabilities[is_measured], (predicted == windows.words)[is_measured])
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


def measure_source_loss(sequences: np.ndarray, vocabulary: Vocabulary) -> float:
    """Return the exact loss of the grammar that wrote the reviews, in nats per word.

    Args:
        sequences: int32, (num_reviews, num_words); 0 is padding.
        vocabulary: Turns the ids back into words.
    """
    scored = [log_probabilities(vocabulary.decode(sequence))[1:] for sequence in sequences]
    return float(-np.concatenate(scored).mean())


def plot_calibration(calibration: pd.DataFrame) -> Any:
    """Draw how often the most probable word is right, against how sure the model is of it.

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
    axes.set_xlabel("probability of the most probable word")
    axes.set_ylabel("share of places where it comes")
    axes.set_title("Calibration", loc="left", fontweight="bold")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.grid(color=NEUTRAL_COLOUR, alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
