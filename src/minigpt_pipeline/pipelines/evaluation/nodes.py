"""How well a model predicts reviews of films that it has never seen."""

import numpy as np
import pyarrow as pa

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import ComputeSettings, EvaluationParameters
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.synthetic_reviews import log_probabilities
from minigpt_pipeline.text.vocabulary import Vocabulary


def evaluate_model(
    trained_model: TrainedModel,
    test_token_ids: pa.Table,
    evaluation: EvaluationParameters,
    compute: ComputeSettings,
) -> dict[str, float]:
    """Measure the held-out loss of a model, and the source's own where it is known.

    Args:
        trained_model: The model and its vocabulary.
        test_token_ids: Columns `review_id`, `token_ids`; the reviews of the test films.
        evaluation: Supplies the batch size, and the grammar that wrote the corpus, if any.
        compute: Where the model computes.

    Returns:
        `test/loss` (nats per word, over words 2 to sequence_length + 1 of each review), `test/perplexity`,
        `test/unk_rate` (share of `[UNK]` among these words), `test/words` (their number). Where the source is known,
        also `test/source_loss` (its exact loss on the same words) and `test/excess_loss` (the model's less that).

    Raises:
        ValueError: If the corpus was not written by the configured source.
    """
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.evaluation import evaluate

    configure_compute(compute)
    model = trained_model.load_model()
    sequences = truncate(test_token_ids, model.sequence_length)
    metrics = {
        f"test/{name}": value for name, value in evaluate(model, sequences, evaluation.batch_size).items()
    }
    if evaluation.known_source == "synthetic_reviews":
        source_loss = measure_source_loss(sequences, trained_model.vocabulary)
        metrics |= {"test/source_loss": source_loss, "test/excess_loss": metrics["test/loss"] - source_loss}
    return metrics


def measure_source_loss(sequences: np.ndarray, vocabulary: Vocabulary) -> float:
    """Return the exact loss of the grammar that wrote the reviews, in nats per word.

    Args:
        sequences: int32, (num_reviews, sequence_length + 1); 0 is padding.
        vocabulary: Turns the ids back into words.
    """
    scored = [log_probabilities(vocabulary.decode(sequence))[1:] for sequence in sequences]
    return float(-np.concatenate(scored).mean())
