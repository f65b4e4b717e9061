"""Wiring of the `vectorization` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.vectorization.nodes import choose_tokenizer, encode_reviews, train_tokenizer


def create_pipeline(keep_vocabulary: bool = False) -> Pipeline:
    """`reviews` to `tokenizer` and the token ids of the three parts.

    Args:
        keep_vocabulary: Of the champion, where there is one.
    """
    train = Node(
        train_tokenizer,
        inputs=["reviews", "params:vectorization"],
        outputs="tokenizer",
        name="train_tokenizer",
    )
    choose = Node(
        choose_tokenizer,
        inputs=["reviews", "champion", "params:vectorization", "params:retraining"],
        outputs="tokenizer",
        name="choose_tokenizer",
    )
    return Pipeline(
        [
            choose if keep_vocabulary else train,
            Node(
                encode_reviews,
                inputs=["reviews", "tokenizer", "params:vectorization"],
                outputs=["train_token_ids", "validation_token_ids", "test_token_ids"],
                name="encode_reviews",
            ),
        ]
    )
