"""What follows a training."""

import logging
from typing import Any

from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.saved_model import TrainedModel

logger = logging.getLogger(__name__)


def discard_checkpoints(trained_model: TrainedModel, checkpoints: CheckpointStore) -> dict[str, Any]:
    """Remove the checkpoints of a training whose model is saved, so that nobody goes on from them.

    Args:
        trained_model: The model that they led to.
        checkpoints: What to remove.

    Returns:
        How the model was trained: its metadata. It is saved when no checkpoint is left, and tells so.
    """
    logger.info(
        "The model of step %s is saved: its checkpoints are removed", trained_model.metadata["best_step"]
    )
    checkpoints.clear()
    return dict(trained_model.metadata)
