"""Wiring of the `training` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.model.training import train_model
from minigpt_pipeline.pipelines.training.nodes import discard_checkpoints


def create_pipeline(from_champion: bool = False) -> Pipeline:
    """Token ids of `train` and `validation` to `trained_model`, with its learning curve, its speed and how it ended.

    Args:
        from_champion: Start from its weights, where `retraining` says so and they fit.
    """
    start = ["champion", "params:retraining"] if from_champion else []
    return Pipeline(
        [
            Node(
                train_model,
                inputs=[
                    "train_token_ids",
                    "validation_token_ids",
                    "tokenizer",
                    "params:model",
                    "params:training",
                    "params:generation",
                    "compute",
                    "training_log",
                    "checkpoints",
                    *start,
                ],
                outputs=["trained_model", "training_history", "training_speed"],
                name="train_model",
            ),
            Node(
                discard_checkpoints,
                inputs=["trained_model", "checkpoints"],
                outputs="training_summary",
                name="discard_checkpoints",
            ),
        ]
    )
