import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.model import evaluation
from minigpt_pipeline.model.evaluation import Evaluator, evaluate
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.text.evaluation_windows import make_evaluation_windows
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.windows import as_windows


def measure_by_hand(model: MiniGPT, sequences: np.ndarray) -> list[float]:
    """One sequence at a time, without padding, in float64 from the logits on."""
    losses: list[float] = []
    for sequence in sequences:
        words = sequence[sequence != 0]
        logits = np.array(model(words[None, :-1]))[0].astype("float64")
        for row, word in zip(logits, words[1:], strict=True):
            losses.append(math.log(np.exp(row).sum()) - row[word])
    return losses


@pytest.mark.parametrize("output_layer", ["full", "adaptive"])
def test_evaluate_gives_the_loss_of_each_word(
    make_model: Callable[..., MiniGPT], alphabets: np.ndarray, output_layer: str
) -> None:
    model = make_model(output_layer=output_layer, num_frequent_words=5, rare_word_dim=4)

    losses = evaluate(model, as_windows(alphabets), batch_size=8)

    assert losses.losses == pytest.approx(measure_by_hand(model, alphabets), abs=1e-5)
    assert len(losses) == 15 * 8 + 5 * 4


@pytest.mark.parametrize("block_rows", [1, 7, 139, 140, 141])
def test_evaluate_does_not_depend_on_the_blocks(
    model: MiniGPT, alphabets: np.ndarray, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = evaluate(model, as_windows(alphabets), batch_size=8)
    monkeypatch.setattr(evaluation, "BLOCK_ROWS", block_rows)

    for batch_size in (1, 7, 64):
        measured = evaluate(model, as_windows(alphabets), batch_size)
        assert measured.losses == pytest.approx(expected.losses, abs=1e-6)


def test_words_beyond_the_context_are_scored_with_the_newest_words_before_them(
    model: MiniGPT, letters: WordTokenizer
) -> None:
    review = np.arange(2, 22, dtype="int32")  # 20 words; the context holds 8
    windows = make_evaluation_windows(
        pa.table({"token_ids": [review]}), letters, model.sequence_length, max_words=None
    )

    losses = evaluate(model, windows, batch_size=4)

    assert losses.positions.tolist() == list(range(2, 21))
    # The words at places 10 to 13 are given those from the fifth on.
    logits = np.array(model(review[None, 4:12]))[0].astype("float64")  # (8, vocabulary_size)
    expected = np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(8), review[5:13]]
    assert losses.losses[8:12] == pytest.approx(expected[4:8], abs=1e-5)


def test_evaluate_counts_unknown_words_as_words(model: MiniGPT) -> None:
    losses = evaluate(model, as_windows(np.array([[1, 1, 2, 3], [2, 1, 0, 0]], dtype="int32")), batch_size=2)

    assert (len(losses), losses.unknown_rate()) == (4, 0.5)


def test_evaluator_sees_the_weights_as_they_are(model: MiniGPT, alphabets: np.ndarray) -> None:
    evaluator = Evaluator(model, batch_size=8)
    before = evaluator.score(as_windows(alphabets)).mean()
    model.set_weights([0 * weight for weight in model.get_weights()])

    assert before != evaluator.score(as_windows(alphabets)).mean() == pytest.approx(math.log(28))


def test_evaluator_tells_of_each_token_once(
    model: MiniGPT, alphabets: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BLOCK_ROWS", 50)
    evaluator, windows = Evaluator(model, batch_size=8), as_windows(alphabets)

    for measure in (evaluator.score, evaluator.predict):
        told: list[float] = []
        measure(windows, told.append)
        assert (told[0], sum(told)) == (50, len(windows.scored))


def test_predict_names_the_most_probable_word(
    model: MiniGPT, alphabets: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BLOCK_ROWS", 50)
    model.set_weights([8 * weight for weight in model.get_weights()])  # so that one word stands out
    model.output_layer.bias.assign(
        [9.0, *[0.0] * 27]
    )  # but for padding: no review ends where a word is scored

    probabilities, words = Evaluator(model, batch_size=8).predict(as_windows(alphabets))

    logits = np.array(model(alphabets[:, :-1]))[alphabets[:, 1:] != 0].astype("float64")[:, 1:]  # (140, 27)
    assert words.tolist() == (1 + logits.argmax(axis=-1)).tolist()
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert probabilities == pytest.approx(softmax.max(axis=-1), abs=1e-5)
    assert 0.2 < probabilities.mean() < 1


def test_evaluate_refuses_to_measure_nothing(model: MiniGPT) -> None:
    with pytest.raises(ValueError, match="no word to score: a review needs two words"):
        evaluate(model, as_windows(np.array([[5, 0, 0], [0, 0, 0]], dtype="int32")), batch_size=2)
