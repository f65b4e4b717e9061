"""The measure: mean negative log-likelihood of words 2 to sequence_length + 1, each given the words before it."""

import numpy as np

from minigpt_pipeline.model.batches import make_batches
from minigpt_pipeline.model.losses import perplexity
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.text.language_model_pairs import make_language_model_pairs
from minigpt_pipeline.text.vocabulary import PADDING_ID, UNKNOWN_ID


class Evaluator:
    """Measures one model, as often as one likes, with one compiled function.

    Args:
        model: The model, in float32.
        batch_size: Sequences scored at once; it changes the speed, not the measure.
    """

    def __init__(self, model: MiniGPT, batch_size: int) -> None:
        import tensorflow as tf
        from keras import ops

        def score(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            states = model.hidden_states(inputs)  # (batch_size, length, embed_dim)
            states = ops.reshape(states, (-1, model.embed_dim))  # (batch_size * length, embed_dim)
            return model.output_layer.cross_entropies(
                states, ops.reshape(labels, (-1,))
            )  # (batch_size * length,)

        self._score = tf.function(score, reduce_retracing=True, autograph=False)
        self._batch_size = batch_size

    def evaluate(self, sequences: np.ndarray) -> dict[str, float]:
        """Measure the model.

        Args:
            sequences: int32, (num_sequences, sequence_length + 1), words first, then padding (0).

        Returns:
            `loss` (nats per word; logits in float32, mean in float64), `perplexity` (exp of it), `unk_rate` (share of
            `[UNK]` among the words that were scored), `words` (their number).

        Raises:
            ValueError: If there is no word to score.
        """
        total, num_words, num_unknown = 0.0, 0, 0
        for batch in make_batches(sequences, self._batch_size):
            inputs, labels = make_language_model_pairs(batch)
            losses = self._score(inputs, labels).numpy().reshape(labels.shape)  # (batch_size, length)
            is_word = labels != PADDING_ID  # (batch_size, length)
            total += float(losses[is_word].sum(dtype=np.float64))
            num_words += int(is_word.sum())
            num_unknown += int((labels == UNKNOWN_ID).sum())
        if num_words == 0:
            raise ValueError(
                f"There is no word to score in {len(sequences)} sequences of shape {sequences.shape}: "
                "a review needs two words"
            )
        loss = total / num_words
        return {
            "loss": loss,
            "perplexity": perplexity(loss),
            "unk_rate": num_unknown / num_words,
            "words": float(num_words),
        }


def evaluate(model: MiniGPT, sequences: np.ndarray, batch_size: int) -> dict[str, float]:
    """Measure a model once; see `Evaluator`."""
    return Evaluator(model, batch_size).evaluate(sequences)
