import math

import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import ComputeSettings, EvaluationParameters, ModelParameters
from minigpt_pipeline.pipelines.evaluation.nodes import (
    compare_losses,
    compare_with_source,
    count_ngrams,
    evaluate_model,
    measure_baselines,
    measure_source_loss,
    measure_spellings,
    summarize_characters,
    summarize_losses,
)
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.subword_tokenizer import SubwordTokenizer, train_subword_tokenizer
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews, log_probabilities
from minigpt_pipeline.text.token_places import PlacedTokens, place_tokens
from minigpt_pipeline.text.token_tables import mark_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import Vocabulary, build_vocabulary, count_words
from minigpt_pipeline.text.word_losses import WordLosses, spell_unknown_words
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

COMPUTE = ComputeSettings(device="cpu", precision="float32", memory_growth=True, deterministic=True)
LENGTH = 20


@pytest.fixture(scope="module")
def words() -> list[list[str]]:
    return [to_words(review.text) for review in fresh_reviews(3, seed=3)]


@pytest.fixture(scope="module")
def tokenizer(words: list[list[str]]) -> WordTokenizer:
    return WordTokenizer(build_vocabulary(pa.array(words), size=10_000))


@pytest.fixture(scope="module")
def subwords(words: list[list[str]]) -> SubwordTokenizer:
    return train_subword_tokenizer(count_words(pa.array(words)), size=300)


def encode(words: list[list[str]], tokenizer: Tokenizer) -> pa.Table:
    ratings = pa.array([9, None, 2], pa.int8())
    token_ids = tokenizer.encode_lists(pa.array(words))
    unknown_words = tokenizer.find_unknown_words(pa.array(words), token_ids)
    return pa.table(
        {
            "review_id": ["a", "b", "c"],
            "rating": ratings,
            "token_ids": token_ids,
            "unknown_words": unknown_words,
        }
    )


@pytest.fixture(scope="module")
def token_ids(words: list[list[str]], tokenizer: WordTokenizer) -> pa.Table:
    return encode(words, tokenizer)


def know_nothing(tokenizer: Tokenizer) -> TrainedModel:
    """With all weights zero every token is equally likely."""
    from minigpt_pipeline.model.mini_gpt import create_model

    sizes = ModelParameters(
        sequence_length=LENGTH,
        embed_dim=8,
        num_heads=2,
        head_dim=None,
        feed_forward_dim=8,
        num_blocks=1,
        dropout=0.1,
    )
    model = create_model(sizes, len(tokenizer), tokenizer.unknown_id)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    return TrainedModel.from_model(model, tokenizer, {"epochs": 0, "has_learnt_ends": False})


def test_evaluate_model_of_a_model_that_knows_nothing(
    words: list[list[str]], token_ids: pa.Table, tokenizer: WordTokenizer
) -> None:
    """The perplexity is the size of the vocabulary."""
    vocabulary, trained_model = tokenizer.vocabulary, know_nothing(tokenizer)

    metrics, slices, calibration = evaluate_model(
        trained_model,
        token_ids,
        measure_spellings(token_ids, token_ids),
        {},
        pa.table({"loss": np.full(sum(min(len(review), 81) - 1 for review in words), math.log(5))}),
        EvaluationParameters(seed=0, batch_size=2, known_source="synthetic_reviews"),
        COMPUTE,
    )

    assert metrics["test/loss"] == pytest.approx(math.log(len(vocabulary)), abs=1e-5)
    assert metrics["test/perplexity"] == pytest.approx(len(vocabulary), rel=1e-5)
    assert metrics["test/unk_rate"] == 0
    assert metrics["test/tokens_per_word"] == 1
    characters = sum(1 + len(word) for review in words for word in review[1:81])
    assert metrics["test/characters"] == characters
    assert metrics["test/bits_per_character"] == pytest.approx(
        math.log2(len(vocabulary)) * metrics["test/words"] / characters, rel=1e-5
    )
    assert metrics["test/kneser_ney_ratio"] == pytest.approx(len(vocabulary) / 5)
    lengths = [len(review) for review in words]
    assert metrics["test/words"] == sum(min(length, 81) - 1 for length in lengths)
    assert metrics["test/review_words"] == sum(lengths) - 3
    assert metrics["test/review_loss"] == pytest.approx(metrics["test/loss"])
    assert metrics["test/perplexity_low"] == pytest.approx(metrics["test/perplexity_high"])
    # It is never sure of anything, and its first guess is [UNK], which never comes.
    assert metrics["test/calibration_error"] == pytest.approx(1 / (len(vocabulary) - 1), abs=1e-5)
    assert calibration["accuracy"].tolist() == [0.0] * len(calibration)
    assert slices["slice"].unique().tolist() == ["all", "words", "rating", "position"]
    assert slices.loc[slices["slice"] == "rating", "value"].tolist() == ["2", "9"]
    assert metrics["test/excess_loss"] == pytest.approx(metrics["test/loss"] - metrics["test/source_loss"])


WORD_LOSSES = WordLosses(
    losses=np.array([1.0, 2.0, 6.0, 3.0, 5.0, 7.0]),
    reviews=np.array([0, 0, 0, 1, 1, 1]),
    positions=np.array([80, 81, 82, 2, 3, 90]),
    characters=np.array([4, 1, 6, 3, 1, 2]),
    is_unknown=np.array([False, True, True, False, False, False]),
)


def test_summarize_losses_measures_words_2_to_81_and_all() -> None:
    metrics = summarize_losses(WORD_LOSSES, seed=0)

    of_reviews = {"test/loss": [1.5, 4.0], "test/perplexity": [math.exp(1.5), math.exp(4.0)]}
    for name, (low, high) in of_reviews.items():  # a resample of two reviews has one of them, or both
        assert (metrics.pop(f"{name}_low"), metrics.pop(f"{name}_high")) == pytest.approx((low, high))
    assert metrics == pytest.approx(
        {
            "test/loss": 11 / 4,
            "test/perplexity": math.exp(11 / 4),
            "test/known_perplexity": math.exp(3),
            "test/unk_rate": 1 / 4,
            "test/words": 4,
            "test/review_loss": 4,
            "test/review_perplexity": math.exp(4),
            "test/review_words": 6,
        }
    )


def test_summarize_characters_measures_the_same_words() -> None:
    metrics = summarize_characters(WORD_LOSSES, seed=0)

    nats = {"": 11 / 9, "_low": 3 / 5, "_high": 8 / 4}
    expected = {f"test/bits_per_character{end}": value / math.log(2) for end, value in nats.items()}
    assert metrics == pytest.approx(expected | {"test/characters": 9})


def test_the_interval_of_a_ratio_is_of_pairs() -> None:
    """The 5-gram model is worse by half a nat and by one, whatever else differs between the two reviews."""
    metrics = compare_losses(WORD_LOSSES, np.array([1.5, 2.5, 4.0, 6.0]), seed=0)

    logs = {name: math.log(value) for name, value in metrics.items()}
    name = "test/kneser_ney_ratio"
    assert logs == pytest.approx({name: -0.75, f"{name}_low": -1.0, f"{name}_high": -0.5})


def test_evaluate_model_adds_up_the_tokens_of_words(
    words: list[list[str]], token_ids: pa.Table, subwords: SubwordTokenizer
) -> None:
    """The same words and characters are measured, with as many tokens as they have."""
    parts = encode(words, subwords)
    num_tokens = sum(len(subwords.encode(" ".join(review[:81]))) for review in words) - sum(
        len(subwords.encode(review[0])) for review in words
    )

    metrics, slices, _ = evaluate_model(
        know_nothing(subwords),
        parts,
        measure_spellings(parts, parts),
        {},
        pa.table({"loss": np.full(sum(min(len(review), 81) - 1 for review in words), math.log(5))}),
        EvaluationParameters(seed=0, batch_size=2, known_source="synthetic_reviews"),
        COMPUTE,
    )

    characters = sum(1 + len(word) for review in words for word in review[1:81])
    assert metrics["test/words"] == sum(min(len(review), 81) - 1 for review in words)
    assert metrics["test/tokens_per_word"] == num_tokens / metrics["test/words"] > 1.5
    assert metrics["test/characters"] == characters
    nats = math.log(len(subwords)) * num_tokens
    assert metrics["test/bits_per_character"] == pytest.approx(nats / math.log(2) / characters, rel=1e-5)
    assert metrics["test/loss"] == pytest.approx(nats / metrics["test/words"], rel=1e-5)
    assert metrics["test/source_loss"] == pytest.approx(
        -np.mean(np.concatenate([log_probabilities(review[:81])[1:] for review in words]))
    )
    assert metrics["test/unk_rate"] == 0
    assert slices["value"].tolist()[:2] == ["", "known"]


def test_a_word_model_pays_for_the_spelling_of_unknown_words() -> None:
    """Of `the cat sat the dog` it knows `the` alone: three words are spelled, at costs that are given."""
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", "the")))
    words = pa.array([["oh", "the", "cat", "sat"], [], ["the", "dog"]])
    token_ids = tokenizer.encode_lists(words)
    table = pa.table(
        {"token_ids": token_ids, "unknown_words": tokenizer.find_unknown_words(words, token_ids)}
    )
    losses = WordLosses.from_tokens(np.array([1.0, 2.0, 3.0, 4.0]), place_scored(table, tokenizer))

    spelled = spell_unknown_words(losses, table, tokenizer, np.array([900.0, 10.0, 20.0, 30.0]))

    assert table["unknown_words"].to_pylist() == [["oh", "cat", "sat"], [], ["dog"]]
    assert spelled.losses.tolist() == [1, 12, 23, 34]
    assert spelled.characters.tolist() == [4, 4, 4, 4]
    bits = summarize_characters(spelled, seed=0)["test/bits_per_character"]
    assert bits == pytest.approx(70 / 16 / math.log(2))


def place_scored(table: pa.Table, tokenizer: Tokenizer) -> PlacedTokens:
    placed = place_tokens(table, tokenizer)
    return placed.take(placed.positions > 1)


def test_measure_spellings_of_words_like_those_of_the_training_films() -> None:
    train = pa.table({"unknown_words": [["abab", "abba"], ["baab"], []]})
    test = pa.table({"unknown_words": [["abab"], [], ["zyx", "abba"]]})

    seen, foreign, also_seen = measure_spellings(train, test)["surprisal"].to_pylist()

    assert max(seen, also_seen) < foreign / 3


def test_measure_spellings_where_no_word_is_unknown() -> None:
    nothing = pa.table({"unknown_words": pa.array([[], []], pa.list_(pa.string()))})

    assert measure_spellings(nothing, nothing)["surprisal"].to_pylist() == []


def test_baselines_are_better_the_more_words_they_see() -> None:
    """Of a language that says `a b` or `c d` for ever: 4 words alike, then 2 that are possible, then 1 or 2."""
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", "a", "b", "c", "d")))
    rng = np.random.default_rng(0)
    reviews = [np.array([[2, 3], [4, 5]])[rng.integers(2, size=30)].ravel() for _ in range(60)]
    train, test = (pa.table({"token_ids": part}) for part in (reviews[:50], reviews[50:]))

    metrics, losses = measure_baselines(
        count_ngrams(train, tokenizer),
        train,
        test,
        tokenizer,
        EvaluationParameters(seed=0, batch_size=1, known_source=None),
    )

    assert metrics["test/uniform_perplexity"] == pytest.approx(5)
    assert metrics["test/unigram_perplexity"] == pytest.approx(4, abs=0.05)
    assert metrics["test/kneser_ney_perplexity"] == pytest.approx(math.sqrt(2), abs=0.05)
    assert math.exp(np.mean(losses["loss"])) == pytest.approx(metrics["test/kneser_ney_perplexity"])
    assert len(losses) == 10 * 59
    for name in ("unigram", "kneser_ney"):
        low, value, high = (metrics[f"test/{name}_perplexity{end}"] for end in ("_low", "", "_high"))
        assert low < value < high < 1.1 * low


def test_measure_source_loss_counts_the_words_that_the_model_is_scored_on(
    words: list[list[str]], token_ids: pa.Table, tokenizer: WordTokenizer
) -> None:
    by_hand = np.concatenate([log_probabilities(review[:81])[1:] for review in words])

    assert measure_source_loss(token_ids, tokenizer) == pytest.approx(-np.mean(by_hand))


def test_measure_source_loss_refuses_another_corpus() -> None:
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", "zyzzyva")))
    with pytest.raises(ValueError, match="can't write 'zyzzyva' as word 1"):
        measure_source_loss(pa.table({"token_ids": [np.array([2, 2, 2, 2], np.int32)]}), tokenizer)


def test_a_source_that_has_not_written_the_new_reviews_is_left_out(
    token_ids: pa.Table, tokenizer: WordTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [f"train/pos/{number}" for number in range(len(token_ids))]
    archive = pa.table({"review_id": ids, "token_ids": token_ids["token_ids"]})
    others = pa.table({"review_id": ["new/aa/1"], "token_ids": pa.array([[2, 2, 2]], pa.list_(pa.int32()))})
    source_loss = measure_source_loss(token_ids, tokenizer)

    expected = {"test/source_loss": source_loss, "test/excess_loss": 9.0 - source_loss}
    assert compare_with_source(archive, tokenizer, 9.0) == expected
    with caplog.at_level("INFO"):
        assert compare_with_source(pa.concat_tables([archive, others]), tokenizer, 9.0) == {}
    assert "its loss is left out" in caplog.text
    with pytest.raises(ValueError, match="can't write"):
        compare_with_source(others.set_column(0, "review_id", pa.array(["train/pos/1"])), tokenizer, 9.0)


def test_count_ngrams_refuses_ids_of_another_tokenizer(
    token_ids: pa.Table, tokenizer: WordTokenizer, subwords: SubwordTokenizer
) -> None:
    with pytest.raises(ValueError, match=f"are of tokenizer {subwords.digest}"):
        count_ngrams(mark_tokens(token_ids, subwords), tokenizer)
