"""Wiring of the `validation` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.validation.nodes import accept_reviews, check_reviews


def create_pipeline() -> Pipeline:
    """`raw_reviews` to `reviews`, or to a stop; `rejected_reviews` and the report are saved in either case."""
    return Pipeline(
        [
            Node(
                check_reviews,
                inputs=["raw_reviews", "params:validation"],
                outputs=[
                    "checked_reviews",
                    "rejected_reviews",
                    "validation_report",
                    "validation_page",
                    "validation_data_docs",
                ],
                name="check_reviews",
            ),
            Node(
                accept_reviews,
                inputs=["checked_reviews", "validation_report"],
                outputs="reviews",
                name="accept_reviews",
            ),
        ]
    )
