import math
from typing import Any

import pyarrow as pa
import pytest

from minigpt_pipeline.parameters import DriftParameters
from minigpt_pipeline.text.drift import (
    MEANINGS,
    CorpusFigures,
    add_figures,
    describe_corpus,
    find_drift,
    measure_drift,
)
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

BOUNDS = DriftParameters(
    min_reviews=100, max_words_ks_distance=0.2, max_vocabulary_divergence=0.1, max_new_word_share=0.03,
    max_unk_rate_rise=0.03, max_positive_share_difference=0.3, max_perplexity_ratio=1.5, perplexity_reviews=9,
)  # fmt: skip
CALM = {
    "reviews": 100.0, "words_ks_distance": 0.2, "vocabulary_divergence": 0.3, "vocabulary_divergence_by_chance": 0.25,
    "new_word_share": 0.01, "unk_rate": 0.04, "training_unk_rate": 0.02, "positive_share": 0.3,
    "training_positive_share": 0.5, "perplexity": 60.0, "training_perplexity": 50.0,
}  # fmt: skip


def describe(*texts: str, labels: list[str | None] | None = None) -> CorpusFigures:
    labels = labels or [None] * len(texts)
    piece = pa.record_batch({"text": pa.array(texts), "label": pa.array(labels, pa.string())})
    return describe_corpus([piece.slice(0, 1), piece.slice(1)])


def measure(new: CorpusFigures, training: CorpusFigures, words: str = "a b") -> dict[str, Any]:
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", *words.split())))
    return measure_drift(new, training, tokenizer, seed=0)


def test_corpora_are_counted_piece_by_piece() -> None:
    corpus = describe("a b a", "b", labels=["pos", None])

    assert corpus.lengths.tolist() == [3, 1]
    assert corpus.counts.to_pylist() == [{"word": "a", "count": 2}, {"word": "b", "count": 2}]
    assert (corpus.num_positive, corpus.num_labelled) == (1, 1)
    together = add_figures([corpus, describe("c", labels=["neg"])])
    assert together.lengths.tolist() == [3, 1, 1]
    assert (together.num_positive, together.num_labelled) == (1, 2)
    assert not len(describe_corpus([]).lengths)


def test_the_same_reviews_do_not_drift() -> None:
    corpus = describe("a b", "b a b", labels=["pos", "neg"])

    figures = measure(corpus, corpus)

    assert {name: figures[name] for name in ("words_ks_distance", "vocabulary_divergence", "new_word_share")} == {
        "words_ks_distance": 0, "vocabulary_divergence": 0, "new_word_share": 0
    }  # fmt: skip
    assert figures["positive_share"] == figures["training_positive_share"] == 0.5


def test_figures_are_those_that_one_computes_by_hand() -> None:
    figures = measure(describe("a a a c", "c d"), describe("a b", "a b a b", labels=["neg", "neg"]))

    assert figures["words_mean"] == figures["training_words_mean"] == 3
    assert figures["words_ks_distance"] == 0  # two words and four, in both
    assert figures["new_word_share"] == pytest.approx(3 / 6)
    assert figures["unk_rate"] == pytest.approx(3 / 6)
    assert figures["training_unk_rate"] == 0
    # a has a half in both; the other half has no word in common: half of what two texts without one have, a bit.
    assert figures["vocabulary_divergence"] == pytest.approx(0.5)
    assert "positive_share" not in figures
    assert figures["training_positive_share"] == 0


def test_lengths_without_overlap_are_at_a_distance_of_one() -> None:
    assert measure(describe("a", "b"), describe("a b a", "a b"))["words_ks_distance"] == 1


def test_chance_makes_a_small_sample_diverge_more_than_a_large_one() -> None:
    words = [f"w{number}" for number in range(200)]
    training = describe(*(" ".join(words[number:]) for number in range(0, 200, 5)))

    small, large = (measure(new, training) for new in (describe(" ".join(words[-9:])), training))

    assert small["vocabulary_divergence_by_chance"] > 5 * large["vocabulary_divergence_by_chance"] > 0
    assert small == measure(describe(" ".join(words[-9:])), training)


def test_no_figure_within_its_bound_is_far() -> None:
    assert find_drift(CALM, BOUNDS) == {}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"words_ks_distance": 0.21}, {"words_ks_distance": "by 0.21, expected at most 0.20"}),
        ({"vocabulary_divergence": 0.36}, {"vocabulary_divergence": "by 0.110 bits, expected at most 0.100 bits"}),
        ({"new_word_share": 0.04}, {"new_word_share": "is 4.00%, expected at most 3.00%"}),
        ({"unk_rate": 0.06}, {"unk_rate": "risen by 4.00%, expected at most 3.00%"}),
        ({"positive_share": 1.0}, {"positive_share": "by 50.00%, expected at most 30.00%"}),
        ({"positive_share": 0.1}, {"positive_share": "by 40.00%"}),
        ({"perplexity": 80.0}, {"perplexity": "is 1.60, expected at most 1.50"}),
        ({"perplexity": 80.0, "reviews": 99.0}, {}),
    ],
)  # fmt: skip
def test_a_figure_beyond_its_bound_is_told(changes: dict[str, float], found: dict[str, str]) -> None:
    told = find_drift(CALM | changes, BOUNDS)

    assert told.keys() == found.keys()
    for name, end in found.items():
        assert told[name].startswith(MEANINGS[name])
        assert end in told[name]


def test_bounds_that_are_off_and_figures_that_are_not_there_say_nothing() -> None:
    off = DriftParameters(
        **dict.fromkeys(DriftParameters.model_fields) | {"min_reviews": 1, "perplexity_reviews": 1}
    )
    far = {name: value * 10 for name, value in CALM.items()}
    missing = {name: CALM[name] for name in ("reviews", "words_ks_distance", "new_word_share")}
    missing |= {"vocabulary_divergence": 0.0, "vocabulary_divergence_by_chance": 0.0}

    assert find_drift(far, off) == {}
    assert find_drift(missing | {"perplexity": math.inf}, BOUNDS) == {}
