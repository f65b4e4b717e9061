"""Wiring of the `incoming` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.incoming.nodes import check_incoming, measure_incoming, report_incoming


def create_pipeline() -> Pipeline:
    """`incoming_batches` to `new_reviews`, with a report of each.

    What is known comes from `known_reviews`, `accepted_reviews` and `known_tokenizer`, which are the files of other
    entries of the catalog under names of their own: `raw_reviews` depend on `new_reviews`.
    """
    return Pipeline(
        [
            Node(
                check_incoming,
                inputs=[
                    "incoming_batches",
                    "known_reviews",
                    "accepted_reviews",
                    "params:incoming",
                    "params:validation",
                    "params:ingestion",
                ],
                outputs="checked_batches",
                name="check_incoming",
            ),
            Node(
                measure_incoming,
                inputs=[
                    "checked_batches",
                    "known_reviews",
                    "known_tokenizer",
                    "champion",
                    "params:incoming",
                    "params:vectorization",
                    "params:evaluation",
                    "compute",
                ],
                outputs=["batch_drifts", "drift_metrics"],
                name="measure_incoming",
            ),
            Node(
                report_incoming,
                inputs=["checked_batches", "batch_drifts", "params:incoming"],
                # What lies in the folder is moved last: a run that is killed before begins anew.
                outputs=["incoming_report", "incoming_page", "new_reviews"],
                name="report_incoming",
            ),
        ],
        tags="always",
    )
