"""Wiring of the `evaluation` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.evaluation.nodes import evaluate_model


def create_pipeline() -> Pipeline:
    """`trained_model` and the token ids of `test` to `evaluation_metrics`."""
    return Pipeline(
        [
            Node(
                evaluate_model,
                inputs=["trained_model", "test_token_ids", "params:evaluation", "compute"],
                outputs="evaluation_metrics",
                name="evaluate_model",
            )
        ]
    )
