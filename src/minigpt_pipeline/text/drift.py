"""How far new reviews are from those that a model has learnt from: their lengths, their words, their labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.parameters import DriftParameters
from minigpt_pipeline.text.imdb import LABELS
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.threads import map_in_order
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import add_counts, count_words

_POSITIVE = LABELS[1]


MEANINGS = {
    "words_ks_distance": "the distribution of lengths has moved by",
    "vocabulary_divergence": "the words' distribution diverges beyond chance by",
    "new_word_share": "the share of words that no training review has is",
    "unk_rate": "the share of [UNK] has risen by",
    "positive_share": "the share of positive reviews has moved by",
    "perplexity": "the champion's perplexity, divided by that on its validation films, is",
}
"""How a sentence on each figure begins that has a bound."""


@dataclass(frozen=True)
class CorpusFigures:
    """What is compared of some reviews.

    Args:
        lengths: int64, (num_reviews,): words of each.
        counts: Columns `word`, each once, and `count`, int64.
        num_positive: Reviews labelled `pos`.
        num_labelled: Reviews with a label.
    """

    lengths: np.ndarray
    counts: pa.Table
    num_positive: int
    num_labelled: int


def describe_corpus(pieces: Iterable[pa.RecordBatch]) -> CorpusFigures:
    """Count reviews and their words, a piece at a time.

    Args:
        pieces: Columns `text`, without nulls, and `label`.
    """

    def describe(piece: pa.RecordBatch) -> CorpusFigures:
        words, labels = split_words(piece["text"]), piece["label"]
        return CorpusFigures(
            lengths=pc.list_value_length(words).to_numpy(zero_copy_only=False),
            counts=count_words(words),
            num_positive=pc.sum(pc.equal(labels, _POSITIVE)).as_py() or 0,
            num_labelled=len(labels) - labels.null_count,
        )

    return add_figures(list(map_in_order(describe, pieces)))


def add_figures(parts: list[CorpusFigures]) -> CorpusFigures:
    """Return the figures of several corpora together."""
    none = pa.table({"word": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
    return CorpusFigures(
        lengths=np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in parts)]),
        counts=add_counts([none, *(part.counts for part in parts)]),
        num_positive=sum(part.num_positive for part in parts),
        num_labelled=sum(part.num_labelled for part in parts),
    )


def measure_drift(
    new: CorpusFigures, training: CorpusFigures, tokenizer: Tokenizer | None, seed: int
) -> dict[str, float]:
    """Compare new reviews with those of the training films.

    Args:
        new: The new reviews, with a word between them.
        training: The others, with a word between them.
        tokenizer: Of the model in use, or the newest; null where there is none.
        seed: Of the sample of training words.

    Returns:
        `reviews`; `words_mean`, `words_median` and `words_ks_distance` (two-sample Kolmogorov-Smirnov) of the words of
        a review; `vocabulary_divergence` (Jensen-Shannon, in bits, of how often each word stands), beside it
        `vocabulary_divergence_by_chance` (of as many words drawn from the training reviews); `new_word_share` (of the
        words, those that no training review has); `unk_rate`, where a tokenizer has `[UNK]`; `positive_share` of the
        labelled reviews, where there are any. `training_...` are those of the training reviews.
    """
    from scipy.stats import ks_2samp

    joined = _join_counts(new.counts, training.counts)
    new_counts, training_counts = (joined[name].to_numpy().astype(np.float64) for name in ("new", "training"))
    num_words = int(new_counts.sum())
    drawn = np.random.default_rng(seed).multinomial(num_words, training_counts / training_counts.sum())
    figures = {
        "reviews": float(len(new.lengths)),
        "words_mean": float(new.lengths.mean()),
        "words_median": float(np.median(new.lengths)),
        "training_words_mean": float(training.lengths.mean()),
        "training_words_median": float(np.median(training.lengths)),
        "words_ks_distance": float(ks_2samp(new.lengths, training.lengths, method="asymp").statistic),
        "vocabulary_divergence": _diverge(new_counts, training_counts),
        "vocabulary_divergence_by_chance": _diverge(drawn, training_counts),
        "new_word_share": float(new_counts[training_counts == 0].sum() / num_words),
    }
    for prefix, corpus in (("", new), ("training_", training)):
        if tokenizer is not None and tokenizer.unknown_id is not None:
            figures[f"{prefix}unk_rate"] = _unknown_rate(corpus.counts, tokenizer)
        if corpus.num_labelled:
            figures[f"{prefix}positive_share"] = corpus.num_positive / corpus.num_labelled
    return figures


def find_drift(figures: Mapping[str, float], bounds: DriftParameters) -> dict[str, str]:
    """Say which figures of a batch are beyond their bounds.

    Args:
        figures: Of `measure_drift`, and `perplexity` with `training_perplexity` where a champion has read the batch.
        bounds: How far they may be from those of the training reviews.

    Returns:
        A sentence by the name of the figure; none for a batch of too few reviews.
    """

    def apart(name: str) -> float | None:
        pair = figures.get(name), figures.get(f"training_{name}")
        return None if pair[0] is None or pair[1] is None else pair[0] - pair[1]

    if figures["reviews"] < bounds.min_reviews:
        return {}
    divergence = figures["vocabulary_divergence"] - figures["vocabulary_divergence_by_chance"]
    positive, unknown = apart("positive_share"), apart("unk_rate")
    ratio = (
        figures["perplexity"] / figures["training_perplexity"] if "training_perplexity" in figures else None
    )
    measured = {
        "words_ks_distance": (figures["words_ks_distance"], bounds.max_words_ks_distance, "{:.2f}"),
        "vocabulary_divergence": (divergence, bounds.max_vocabulary_divergence, "{:.3f} bits"),
        "new_word_share": (figures["new_word_share"], bounds.max_new_word_share, "{:.2%}"),
        "unk_rate": (unknown, bounds.max_unk_rate_rise, "{:.2%}"),
        "positive_share": (positive and abs(positive), bounds.max_positive_share_difference, "{:.2%}"),
        "perplexity": (ratio, bounds.max_perplexity_ratio, "{:.2f}"),
    }
    return {
        name: f"{MEANINGS[name]} {form.format(value)}, expected at most {form.format(bound)}"
        for name, (value, bound, form) in measured.items()
        if value is not None and bound is not None and value > bound
    }


def _join_counts(new: pa.Table, training: pa.Table) -> pa.Table:
    """Return columns `word`, `new` and `training`, in the order of the words: float sums depend on it."""
    joined = new.rename_columns(["word", "new"]).join(
        training.rename_columns(["word", "training"]), keys="word", join_type="full outer"
    )
    joined = joined.sort_by("word")
    return pa.table(
        {"word": joined["word"]} | {name: pc.fill_null(joined[name], 0) for name in ("new", "training")}
    )


def _diverge(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(first, second, base=2) ** 2)  # SciPy's is the square root: a distance


def _unknown_rate(counts: pa.Table, tokenizer: Tokenizer) -> float:
    """Return the share of the words that are `[UNK]`."""
    words = counts["word"].combine_chunks()
    one_by_one = pa.ListArray.from_arrays(pa.array(np.arange(len(words) + 1, dtype=np.int32)), words)
    token_ids = (
        tokenizer.encode_lists(one_by_one).flatten().to_numpy()
    )  # one of each word, as no token is a part
    number = counts["count"].to_numpy()
    return float(number[token_ids == tokenizer.unknown_id].sum() / number.sum())
