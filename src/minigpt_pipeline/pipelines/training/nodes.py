"""From the words of the training films to a trained model."""

import pandas as pd
import pyarrow as pa

from minigpt_pipeline.model.saved_model import MetadataValue, TrainedModel
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.parameters import (
    ComputeSettings,
    GenerationParameters,
    ModelParameters,
    TrainingParameters,
)
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.vocabulary import Vocabulary


def train_model(
    train_token_ids: pa.Table,
    validation_token_ids: pa.Table,
    vocabulary: Vocabulary,
    model: ModelParameters,
    training: TrainingParameters,
    generation: GenerationParameters,
    compute: ComputeSettings,
    training_log: TrainingLog,
) -> tuple[TrainedModel, pd.DataFrame, pd.DataFrame]:
    """Train a model from fresh weights on the first words of each review.

    Args:
        train_token_ids: Columns `review_id`, `token_ids`; the reviews of the training films.
        validation_token_ids: The same of the films that choose the best weights.
        vocabulary: The words.
        model: Sizes of the model.
        training: Optimizer, limits, seed, and how often to log, measure and write texts.
        generation: Prompts of the texts that are written on the way.
        compute: Where and how precisely to compute.
        training_log: Takes measurements and texts while training goes on.

    Returns:
        The model with its best weights; its learning curve (see `TrainingRecord.history`), the same in equal runs; and
        its speed (see `TrainingRecord.speed`), which is the clock's.
    """
    import keras

    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.mini_gpt import create_model
    from minigpt_pipeline.model.text_generator import TextGenerator
    from minigpt_pipeline.model.training_loop import train

    device = configure_compute(compute)
    keras.utils.set_random_seed(training.seed)
    network = create_model(model, len(vocabulary))
    outcome = train(
        network,
        truncate(train_token_ids, model.sequence_length),
        truncate(validation_token_ids, model.sequence_length),
        training,
        training_log,
        precision=device.precision,
        callbacks=[TextGenerator(vocabulary, generation, training.sample_every_epochs, training_log)],
    )
    how: dict[str, MetadataValue] = {
        "seed": training.seed,
        "device": device.name,
        "precision": device.precision,
    }
    trained_model = TrainedModel.from_model(network, vocabulary, how | outcome.summary)
    return trained_model, outcome.history, outcome.speed
