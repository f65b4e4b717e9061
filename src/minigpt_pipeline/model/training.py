"""From the words of the training films to a trained model: for the `training` pipeline and each trial of a search."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.fingerprint import make_fingerprint
from minigpt_pipeline.model.saved_model import MetadataValue, TrainedModel
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.model.training_sequences import (
    PackedSequences,
    TrainingSequences,
    TruncatedSequences,
)
from minigpt_pipeline.parameters import (
    ComputeSettings,
    GenerationParameters,
    ModelParameters,
    RetrainingParameters,
    TrainingParameters,
)
from minigpt_pipeline.text.evaluation_windows import MEASURED_WORDS, make_evaluation_windows
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.token_tables import check_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.tokenizer_json import describe_tokenizer

LIMITS = {"epochs", "max_steps"}
WITHOUT_EFFECT = {"max_minutes", "patience", "checkpoint_every_minutes", "checkpoint_every_steps"}
"""Fields of `training` that say when it ends and how often it is saved, but change nothing in what is computed until
then: a killed training may go on with others. So may it with other `LIMITS`, unless the learning rate falls to zero at
the last step that they allow."""

WRITTEN_ON_THE_WAY = {"prompts", "seeds", "sampling"}
"""Fields of `generation` that decide about the texts of a training."""


def train_model(  # noqa: PLR0913, PLR0917 -- what the catalog gives it
    train_token_ids: pa.Table,
    validation_token_ids: pa.Table,
    tokenizer: Tokenizer,
    model: ModelParameters,
    training: TrainingParameters,
    generation: GenerationParameters,
    compute: ComputeSettings,
    training_log: TrainingLog,
    checkpoints: CheckpointStore | None,
    champion: TrainedModel | None = None,
    retraining: RetrainingParameters | None = None,
) -> tuple[TrainedModel, pd.DataFrame, pd.DataFrame]:
    """Train a model on reviews: from fresh weights, those of the champion, or where the same training was killed.

    With `strategy: multi_worker` this is one of several processes that do so together. The chief alone measures and
    writes; what the others return is not the model with its best weights.

    Args:
        train_token_ids: Columns `review_id`, `token_ids`; the reviews of the training films.
        validation_token_ids: The same of the films that choose the best weights.
        tokenizer: Whose ids they are.
        model: Sizes of the model.
        training: Optimizer, limits, seed, and how often to log, measure and write texts.
        generation: Prompts of the texts that are written on the way.
        compute: Where and how precisely to compute.
        training_log: Takes measurements and texts while training goes on.
        checkpoints: Of a training that was killed, and of this one; null means that none are saved.
        champion: The model in use; null where there is none.
        retraining: Supplies whether to start from the champion's weights, where they fit; null means never.

    Returns:
        The model with its best weights; its learning curve (see `TrainingRecord.history`), the same in equal runs; and
        its speed (see `TrainingRecord.speed`), which is the clock's.

    Raises:
        ValueError: If ids are another tokenizer's, or a part has no word to predict.
    """
    import keras

    from minigpt_pipeline.model.cluster import read_cluster
    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.mini_gpt import create_model
    from minigpt_pipeline.model.text_generator import TextGenerator
    from minigpt_pipeline.model.training_loop import train
    from minigpt_pipeline.model.training_record import TrainingRecord
    from minigpt_pipeline.model.warm_start import start_from
    from minigpt_pipeline.model.workers import Workers

    check_tokens(train_token_ids, tokenizer)
    device = configure_compute(compute, read_cluster() if compute.strategy == "multi_worker" else None)
    former = champion if retraining is not None and retraining.warm_start else None
    if former:
        former.load_model()  # which draws random numbers, and so stands before the seed
    keras.utils.set_random_seed(training.seed)
    network = create_model(model, len(tokenizer), tokenizer.unknown_id)
    warm_start = start_from(former, network, tokenizer) if former else None
    train_sequences = arrange_sequences(train_token_ids, model, training)
    validation = make_evaluation_windows(
        validation_token_ids, tokenizer, model.sequence_length, MEASURED_WORDS, train_sequences.learn_ends
    )
    fingerprint = make_fingerprint(
        train_token_ids=train_sequences.content,
        validation_token_ids=np.stack([validation.inputs, validation.labels]),
        tokenizer=describe_tokenizer(tokenizer),
        model=model.model_dump(),
        training=describe_training(training),
        generation=generation.model_dump(include=WRITTEN_ON_THE_WAY),
        compute=asdict(device) | {"deterministic": compute.deterministic},
        start=str(warm_start),
    )
    workers = Workers(device.make_strategy())
    workers.check_equal(fingerprint)
    record = TrainingRecord(training_log)
    has_learnt_ends = train_sequences.learn_ends
    generator = TextGenerator(tokenizer, generation, training.sample_every_epochs, record, has_learnt_ends)
    outcome = train(
        network,
        train_sequences,
        validation,
        training,
        record,
        device=device,
        callbacks=[generator] if workers.is_chief else [],
        checkpoints=checkpoints and checkpoints.for_training(fingerprint),
    )
    how: dict[str, MetadataValue] = {
        "seed": training.seed,
        "device": device.name,
        "precision": device.precision,
        "has_learnt_ends": has_learnt_ends,
    }
    if warm_start:
        how["warm_start"] = warm_start
    trained_model = TrainedModel.from_model(network, tokenizer, how | outcome.summary)
    return trained_model, outcome.history, outcome.speed


def arrange_sequences(
    token_ids: pa.Table, model: ModelParameters, training: TrainingParameters
) -> TrainingSequences:
    """Turn reviews of any length into what each epoch is made of.

    Args:
        token_ids: Columns `review_id`, `token_ids`.
        model: Supplies the context.
        training: Supplies the seed, and whether reviews are truncated or packed.
    """
    if training.sequences == "packed":
        return PackedSequences(token_ids, model.sequence_length, training.seed)
    return TruncatedSequences(truncate(token_ids, model.sequence_length), training.seed)


def describe_training(training: TrainingParameters) -> dict[str, Any]:
    """Return the parameters that decide what is computed before the training ends."""
    ends_at_last_step = training.optimizer.decay == "cosine" and training.optimizer.decay_steps is None
    return training.model_dump(exclude=WITHOUT_EFFECT if ends_at_last_step else WITHOUT_EFFECT | LIMITS)
