"""Wiring of the `comparison` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.comparison.nodes import render_comparison, select_runs


def create_pipeline() -> Pipeline:
    """`model_runs` to `comparison_page`."""
    return Pipeline(
        [
            Node(
                select_runs,
                inputs=["model_runs", "params:comparison"],
                outputs="compared_runs",
                name="select_runs",
            ),
            Node(
                render_comparison,
                inputs=["compared_runs", "params:comparison"],
                outputs="comparison_page",
                name="render_comparison",
            ),
        ]
    )
