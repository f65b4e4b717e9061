"""Wiring of the `ingestion` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.ingestion.nodes import read_reviews


def create_pipeline() -> Pipeline:
    """`reviews_archive` and `new_reviews` to `raw_reviews`."""
    return Pipeline(
        [
            Node(
                read_reviews,
                inputs=["reviews_archive", "new_reviews", "params:ingestion"],
                outputs="raw_reviews",
                name="read_reviews",
            )
        ]
    )
