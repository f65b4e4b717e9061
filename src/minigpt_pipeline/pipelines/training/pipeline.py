"""Wiring of the `training` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.model.training import train_model
from minigpt_pipeline.pipelines.training.nodes import discard_checkpoints


def create_pipeline() -> Pipeline:
    """Token ids of `train` and `validation` to `trained_model`, with its learning curve and its speed."""
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
                ],
                outputs=["trained_model", "training_history", "training_speed"],
                name="train_model",
            ),
            Node(
                discard_checkpoints,
                inputs=["trained_model", "checkpoints"],
                outputs=None,
                name="discard_checkpoints",
            ),
        ]
    )
