"""Wiring of the `vectorization` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.vectorization.nodes import encode_reviews, train_tokenizer


def create_pipeline() -> Pipeline:
    """`reviews` to `tokenizer` and the token ids of the three parts."""
    return Pipeline(
        [
            Node(
                train_tokenizer,
                inputs=["reviews", "params:vectorization"],
                outputs="tokenizer",
                name="train_tokenizer",
            ),
            Node(
                encode_reviews,
                inputs=["reviews", "tokenizer", "params:vectorization"],
                outputs=["train_token_ids", "validation_token_ids", "test_token_ids"],
                name="encode_reviews",
            ),
        ]
    )
