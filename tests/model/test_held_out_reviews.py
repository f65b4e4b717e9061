import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.model.evaluation import evaluate
from minigpt_pipeline.model.held_out_reviews import HeldOutReviews
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.pipelines.evaluation.nodes import measure_spellings, summarize_characters
from minigpt_pipeline.text.encoding import encode_parts
from minigpt_pipeline.text.evaluation_windows import make_evaluation_windows
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.word_losses import WordLosses, spell_unknown_words
from tests.made_up_films import (
    KNOWN,
    REVIEWS,
    SHARES,
    SUBWORDS,
    TEXTS,
    TRAIN,
    VALIDATION,
    WORDS,
    draw,
    expect,
)

MEASURED = [
    to_words(TEXTS[int(name.rpartition("/")[2])])[1:81] for name in VALIDATION["review_id"].to_pylist()
]
"""What the measure asks for, in words."""


def no_reviews() -> Iterator[pa.RecordBatch]:
    raise AssertionError("the reviews are read")
    yield


def hold_out(candidate: TrainedModel) -> HeldOutReviews:
    train, validation, _ = encode_parts([REVIEWS], candidate.tokenizer, SHARES)
    return HeldOutReviews(candidate, train, validation, [REVIEWS], SHARES, batch_size=8)


def evaluate_alone(trained_model: TrainedModel, max_words: int | None = 81) -> WordLosses:
    """As the pipeline `evaluation` does it: windows over reviews that nobody has cut."""
    tokenizer = trained_model.tokenizer
    _, validation, _ = encode_parts([REVIEWS], tokenizer, SHARES)
    windows = make_evaluation_windows(validation, tokenizer, 8, max_words, trained_model.has_learnt_ends)
    return evaluate(trained_model.load_model(), windows, batch_size=3)


def test_words_2_to_81_of_each_review_are_measured() -> None:
    losses = hold_out(expect({})).losses

    assert max(map(len, MEASURED)) == 80 < max(len(text.split()) for text in TEXTS) - 1
    assert losses.positions.max() == 81
    assert len(losses) == sum(map(len, MEASURED))
    assert losses.mean() == pytest.approx(math.log(len(WORDS)), abs=1e-5)


def test_with_the_same_tokens_the_difference_is_that_of_two_measurements_word_by_word() -> None:
    candidate, other = draw(seed=1), draw(seed=2)
    held_out = HeldOutReviews(candidate, TRAIN, VALIDATION, no_reviews(), SHARES, batch_size=8)

    difference, has_same_tokens = held_out.compare(other, held_out.score(other))

    expected = evaluate_alone(candidate).losses - evaluate_alone(other).losses
    assert has_same_tokens
    np.testing.assert_allclose(difference.losses, expected, atol=1e-5)
    assert expected.std() > 0.1  # there is something to measure


def test_a_model_that_knows_more_is_better_by_what_can_be_counted() -> None:
    held_out = hold_out(expect(KNOWN))
    fresh = expect({})

    difference, _ = held_out.compare(fresh, held_out.score(fresh))

    words = [word for review in MEASURED for word in review]
    total = sum(math.exp(KNOWN.get(word, 0.0)) for word in WORDS.vocabulary.words)
    by_hand = math.log(total / len(WORDS)) - np.mean([KNOWN.get(word, 0.0) for word in words])
    assert difference.mean() == pytest.approx(by_hand, abs=1e-5)
    assert by_hand < -0.1


def spell_alone(trained_model: TrainedModel) -> WordLosses:
    """As the pipeline `evaluation` does it, of all words."""
    tokenizer = trained_model.tokenizer
    train, validation, _ = encode_parts([REVIEWS], tokenizer, SHARES)
    surprisals = measure_spellings(train, validation)["surprisal"].to_numpy()
    return spell_unknown_words(evaluate_alone(trained_model, None), validation, tokenizer, surprisals)


@pytest.mark.parametrize(("of_candidate", "of_other"), [(WORDS, SUBWORDS), (SUBWORDS, WORDS)])
def test_with_other_tokens_both_pay_for_the_same_characters(
    of_candidate: Tokenizer, of_other: Tokenizer
) -> None:
    candidate, other = expect({"is": 2.0}, of_candidate), expect({"the": 1.0}, of_other)
    held_out = hold_out(candidate)

    difference, has_same_tokens = held_out.compare(other, held_out.score(other))

    assert not has_same_tokens
    there, here = (
        summarize_characters(spell_alone(one), seed=0)["test/bits_per_character"]
        for one in (candidate, other)
    )
    assert difference.bits_per_character() == pytest.approx(there - here, abs=1e-5)
    assert difference.characters.sum() == sum(1 + len(word) for review in MEASURED for word in review)


def test_the_spelling_of_unknown_words_counts() -> None:
    """Without it the word model would seem to be better than it is."""
    subwords = expect({}, SUBWORDS)
    held_out = hold_out(expect({}))

    difference, _ = held_out.compare(subwords, losses := held_out.score(subwords))

    nats = held_out.losses.losses.sum() - losses.losses.sum()
    spelled = difference.losses.sum() - nats
    num_unknown = sum(word not in WORDS.vocabulary.words for review in MEASURED for word in review)
    assert spelled > num_unknown > 5


def test_a_model_that_has_learnt_ends_has_seen_the_one_before() -> None:
    candidate = draw(seed=1, has_learnt_ends=True)
    without = draw(seed=1)

    losses = hold_out(candidate).losses

    np.testing.assert_allclose(losses.losses, evaluate_alone(candidate).losses, atol=1e-5)
    assert np.abs(losses.losses - hold_out(without).losses.losses).max() > 1e-3


def test_models_of_other_reviews_are_not_compared() -> None:
    """The table of reviews was made again since the candidate's tokens were."""
    held_out = HeldOutReviews(expect({}), TRAIN, VALIDATION, [REVIEWS.slice(3)], SHARES, batch_size=8)
    other = expect({}, SUBWORDS)

    with pytest.raises(ValueError, match=r"\d+ words of \d+ reviews .* not of the same words"):
        held_out.compare(other, held_out.score(other))
