"""Wiring of the `evaluation` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.evaluation.nodes import evaluate_model, plot_calibration


def create_pipeline() -> Pipeline:
    """`trained_model` and the token ids of `test` to `evaluation_metrics`, slices and calibration."""
    return Pipeline(
        [
            Node(
                evaluate_model,
                inputs=["trained_model", "test_token_ids", "params:evaluation", "compute"],
                outputs=["evaluation_metrics", "evaluation_slices", "calibration"],
                name="evaluate_model",
            ),
            Node(plot_calibration, inputs="calibration", outputs="calibration_plot", name="plot_calibration"),
        ]
    )
