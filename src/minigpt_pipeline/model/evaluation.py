"""The measure: mean negative log-likelihood of words 2 to 81 of each review, each given the words before it."""

import math
from collections.abc import Iterator

import numpy as np

from minigpt_pipeline.model.batches import make_batches
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.progress import Advance, tell_nobody
from minigpt_pipeline.text.evaluation_windows import EvaluationWindows
from minigpt_pipeline.text.vocabulary import PADDING_ID
from minigpt_pipeline.text.word_losses import WordLosses

BLOCK_ROWS = 2048
"""Tokens that are scored at once; the search for the most probable one holds their logits, 160 MB with 20,000 ids."""


class Evaluator:
    """Measures one model, as often as one likes, with functions that are compiled once.

    Args:
        model: The model, in float32.
        batch_size: Windows read at once; it changes the speed, not the measure.
    """

    def __init__(self, model: MiniGPT, batch_size: int) -> None:
        import tensorflow as tf
        from keras import ops

        def find_most_probable(states: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = model.output_layer(states)  # (BLOCK_ROWS, vocabulary_size)
            is_word = ops.arange(logits.shape[-1]) != PADDING_ID
            log_probabilities = ops.log_softmax(ops.where(is_word, logits, -math.inf), axis=-1)
            return ops.exp(ops.max(log_probabilities, axis=-1)), ops.argmax(log_probabilities, axis=-1)

        self._read = tf.function(model.hidden_states, reduce_retracing=True, autograph=False)
        self._score = tf.function(model.output_layer.cross_entropies, reduce_retracing=True, autograph=False)
        self._find_most_probable = tf.function(find_most_probable, reduce_retracing=True, autograph=False)
        self._batch_size = batch_size

    def score(self, windows: EvaluationWindows, advance: Advance = tell_nobody) -> WordLosses:
        """Return the loss of each scored word; logits are in float32.

        Args:
            windows: Over reviews.
            advance: Told of the tokens that are scored.

        Raises:
            ValueError: If there is no word to score.
        """
        losses = [self._score(states, labels).numpy() for states, labels in self._blocks(windows, advance)]
        return WordLosses.from_tokens(_join(losses, len(windows.scored)), windows.scored)

    def predict(
        self, windows: EvaluationWindows, advance: Advance = tell_nobody
    ) -> tuple[np.ndarray, np.ndarray]:
        """Say which token is the most probable one, in the place of each scored token.

        Where one is scored the review has not ended, so its end is no candidate.

        Args:
            windows: Over reviews.
            advance: Told of the tokens that are predicted.

        Returns:
            float32, (num_scored,): its probability; int64, (num_scored,): its id.
        """
        predicted = [self._find_most_probable(states) for states, _ in self._blocks(windows, advance)]
        return (
            _join([probability.numpy() for probability, _ in predicted], len(windows.scored)),
            _join([token.numpy() for _, token in predicted], len(windows.scored)),
        )

    def _blocks(
        self, windows: EvaluationWindows, advance: Advance
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield states, (BLOCK_ROWS, embed_dim), and labels, (BLOCK_ROWS,), of scored tokens; zeros fill the last."""
        states, labels = np.zeros((0, 0), np.float32), np.zeros(0, np.int32)
        for batch_inputs, batch_labels in zip(
            make_batches(windows.inputs, self._batch_size),
            make_batches(windows.labels, self._batch_size),
            strict=True,
        ):
            is_scored = batch_labels != PADDING_ID  # (batch_size, length)
            read = self._read(batch_inputs).numpy()[is_scored]  # (num_scored, embed_dim)
            states = np.concatenate([states.reshape(-1, read.shape[1]), read])
            labels = np.concatenate([labels, batch_labels[is_scored]])
            while len(labels) >= BLOCK_ROWS:
                yield states[:BLOCK_ROWS], labels[:BLOCK_ROWS]
                advance(BLOCK_ROWS)
                states, labels = states[BLOCK_ROWS:], labels[BLOCK_ROWS:]
        if len(labels):
            missing = BLOCK_ROWS - len(labels)
            yield np.pad(states, ((0, missing), (0, 0))), np.pad(labels, (0, missing))
            advance(len(labels))


def _join(blocks: list[np.ndarray], num_scored: int) -> np.ndarray:
    return np.concatenate(blocks)[:num_scored] if blocks else np.zeros(0)


def evaluate(model: MiniGPT, windows: EvaluationWindows, batch_size: int) -> WordLosses:
    """Measure a model once; see `Evaluator`."""
    return Evaluator(model, batch_size).score(windows)
