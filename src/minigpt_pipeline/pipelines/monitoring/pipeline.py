"""Wiring of the `monitoring` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.monitoring.nodes import measure_served_texts, report_served_texts


def create_pipeline() -> Pipeline:
    """`served_texts` to a report on them, beside the reviews that their models were trained on."""
    return Pipeline(
        [
            Node(
                measure_served_texts,
                inputs=[
                    "served_texts",
                    "known_reviews",
                    "known_tokenizer",
                    "champion",
                    "params:monitoring",
                    "params:vectorization",
                ],
                outputs="served_figures",
                name="measure_served_texts",
            ),
            Node(
                report_served_texts,
                inputs=["served_figures", "params:monitoring"],
                outputs=["monitoring_report", "monitoring_page", "served_metrics"],
                name="report_served_texts",
            ),
        ],
        tags="always",
    )
