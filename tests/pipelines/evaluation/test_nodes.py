import math

import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.parameters import ComputeSettings, EvaluationParameters, ModelParameters
from minigpt_pipeline.pipelines.evaluation.nodes import (
    count_ngrams,
    evaluate_model,
    measure_baselines,
    measure_source_loss,
)
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews, log_probabilities
from minigpt_pipeline.text.vocabulary import Vocabulary, build_vocabulary

COMPUTE = ComputeSettings(device="cpu", precision="float32", memory_growth=True, deterministic=True)
LENGTH = 20


@pytest.fixture(scope="module")
def words() -> list[list[str]]:
    return [to_words(review.text) for review in fresh_reviews(3, seed=3)]


@pytest.fixture(scope="module")
def vocabulary(words: list[list[str]]) -> Vocabulary:
    return build_vocabulary(pa.array(words), size=10_000)


@pytest.fixture(scope="module")
def token_ids(words: list[list[str]], vocabulary: Vocabulary) -> pa.Table:
    ratings = pa.array([9, None, 2], pa.int8())
    token_ids = vocabulary.encode_lists(pa.array(words))
    return pa.table({"review_id": ["a", "b", "c"], "rating": ratings, "token_ids": token_ids})


def test_evaluate_model_of_a_model_that_knows_nothing(
    words: list[list[str]], token_ids: pa.Table, vocabulary: Vocabulary
) -> None:
    """With all weights zero every word is equally likely, so the perplexity is the size of the vocabulary."""
    from minigpt_pipeline.model.mini_gpt import create_model
    from minigpt_pipeline.model.saved_model import TrainedModel

    sizes = ModelParameters(
        sequence_length=LENGTH,
        embed_dim=8,
        num_heads=2,
        head_dim=None,
        feed_forward_dim=8,
        num_blocks=1,
        dropout=0.1,
    )
    model = create_model(sizes, len(vocabulary))
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    trained_model = TrainedModel.from_model(model, vocabulary, {"epochs": 0, "has_learnt_ends": False})

    metrics, slices, calibration = evaluate_model(
        trained_model,
        token_ids,
        {"test/kneser_ney_perplexity": 5.0},
        EvaluationParameters(seed=0, batch_size=2, known_source="synthetic_reviews"),
        COMPUTE,
    )

    assert metrics["test/loss"] == pytest.approx(math.log(len(vocabulary)), abs=1e-5)
    assert metrics["test/perplexity"] == pytest.approx(len(vocabulary), rel=1e-5)
    assert metrics["test/unk_rate"] == 0
    assert metrics["test/kneser_ney_ratio"] == pytest.approx(len(vocabulary) / 5)
    lengths = [len(review) for review in words]
    assert metrics["test/words"] == sum(min(length, 81) - 1 for length in lengths)
    assert metrics["test/review_words"] == sum(lengths) - 3
    assert metrics["test/review_loss"] == pytest.approx(metrics["test/loss"])
    assert metrics["test/perplexity_low"] == pytest.approx(metrics["test/perplexity_high"])
    # It is never sure of anything, and its first guess is padding, which never comes.
    assert metrics["test/calibration_error"] == pytest.approx(1 / len(vocabulary), abs=1e-5)
    assert calibration["accuracy"].tolist() == [0.0] * len(calibration)
    assert slices["slice"].unique().tolist() == ["all", "words", "rating", "position"]
    assert slices.loc[slices["slice"] == "rating", "value"].tolist() == ["2", "9"]
    assert metrics["test/excess_loss"] == pytest.approx(metrics["test/loss"] - metrics["test/source_loss"])


def test_baselines_are_better_the_more_words_they_see() -> None:
    """Of a language that says `a b` or `c d` for ever: 4 words alike, then 2 that are possible, then 1 or 2."""
    vocabulary = Vocabulary(("", "[UNK]", "a", "b", "c", "d"))
    rng = np.random.default_rng(0)
    reviews = [np.array([[2, 3], [4, 5]])[rng.integers(2, size=30)].ravel() for _ in range(60)]
    train, test = (pa.table({"token_ids": part}) for part in (reviews[:50], reviews[50:]))

    metrics = measure_baselines(count_ngrams(train, vocabulary), train, test)

    assert metrics["test/uniform_perplexity"] == pytest.approx(5)
    assert metrics["test/unigram_perplexity"] == pytest.approx(4, abs=0.05)
    assert metrics["test/kneser_ney_perplexity"] == pytest.approx(math.sqrt(2), abs=0.05)


def test_measure_source_loss_counts_the_words_that_the_model_is_scored_on(
    words: list[list[str]], token_ids: pa.Table, vocabulary: Vocabulary
) -> None:
    from minigpt_pipeline.text.sequences import truncate

    by_hand = [log_probabilities(review[: LENGTH + 1])[1:] for review in words]

    assert measure_source_loss(truncate(token_ids, LENGTH), vocabulary) == pytest.approx(-np.mean(by_hand))


def test_measure_source_loss_refuses_another_corpus(vocabulary: Vocabulary) -> None:
    with pytest.raises(ValueError, match="can't write 'zyzzyva' as word 1"):
        measure_source_loss(np.array([[2, 2, 2, 2]]), Vocabulary(("", "[UNK]", "zyzzyva")))
