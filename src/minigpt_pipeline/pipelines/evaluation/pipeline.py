"""Wiring of the `evaluation` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.evaluation.nodes import (
    count_ngrams,
    evaluate_model,
    measure_baselines,
    measure_spellings,
    plot_calibration,
)


def create_pipeline() -> Pipeline:
    """`trained_model` and the token ids of `test` to `evaluation_metrics`, slices and calibration."""
    return Pipeline(
        [
            Node(
                count_ngrams,
                inputs=["train_token_ids", "tokenizer"],
                outputs="ngram_model",
                name="count_ngrams",
            ),
            Node(
                measure_baselines,
                inputs=[
                    "ngram_model",
                    "train_token_ids",
                    "test_token_ids",
                    "tokenizer",
                    "params:evaluation",
                ],
                outputs=["baseline_metrics", "test_ngram_losses"],
                name="measure_baselines",
            ),
            Node(
                measure_spellings,
                inputs=["train_token_ids", "test_token_ids"],
                outputs="test_spellings",
                name="measure_spellings",
            ),
            Node(
                evaluate_model,
                inputs=[
                    "trained_model",
                    "test_token_ids",
                    "test_spellings",
                    "baseline_metrics",
                    "test_ngram_losses",
                    "params:evaluation",
                    "compute",
                ],
                outputs=["evaluation_metrics", "evaluation_slices", "calibration"],
                name="evaluate_model",
            ),
            Node(plot_calibration, inputs="calibration", outputs="calibration_plot", name="plot_calibration"),
        ]
    )
