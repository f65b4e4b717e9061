"""Wiring of the `promotion` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.promotion.nodes import decide_promotion, settle_promotion


def create_pipeline() -> Pipeline:
    """`trained_model` and `model_versions` to `promotion_decision`, and then to the aliases of `registry`."""
    return Pipeline(
        [
            Node(
                decide_promotion,
                inputs=[
                    "trained_model",
                    "train_token_ids",
                    "validation_token_ids",
                    "reviews",
                    "model_versions",
                    "params:promotion",
                    "params:generation",
                    "params:vectorization",
                    "compute",
                ],
                outputs="promotion_decision",
                name="decide_promotion",
            ),
            Node(settle_promotion, inputs="promotion_decision", outputs="registry", name="settle_promotion"),
        ]
    )
