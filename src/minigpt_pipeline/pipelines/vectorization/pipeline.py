"""Wiring of the `vectorization` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.vectorization.nodes import adapt_vocabulary, encode_reviews, split_reviews


def create_pipeline() -> Pipeline:
    """`reviews` to `vocabulary` and the token ids of the three parts."""
    return Pipeline(
        [
            Node(
                split_reviews,
                inputs=["reviews", "params:vectorization"],
                outputs="review_words",
                name="split_reviews",
            ),
            Node(
                adapt_vocabulary,
                inputs=["review_words", "params:vectorization"],
                outputs="vocabulary",
                name="adapt_vocabulary",
            ),
            Node(
                encode_reviews,
                inputs=["review_words", "vocabulary"],
                outputs=["train_token_ids", "validation_token_ids", "test_token_ids"],
                name="encode_reviews",
            ),
        ]
    )
