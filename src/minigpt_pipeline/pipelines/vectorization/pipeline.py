"""Wiring of the `vectorization` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.vectorization.nodes import adapt_vocabulary, encode_reviews


def create_pipeline() -> Pipeline:
    """`reviews` to `vocabulary` and the token ids of the three parts."""
    return Pipeline(
        [
            Node(
                adapt_vocabulary,
                inputs=["reviews", "params:vectorization"],
                outputs="vocabulary",
                name="adapt_vocabulary",
            ),
            Node(
                encode_reviews,
                inputs=["reviews", "vocabulary", "params:vectorization"],
                outputs=["train_token_ids", "validation_token_ids", "test_token_ids"],
                name="encode_reviews",
            ),
        ]
    )
