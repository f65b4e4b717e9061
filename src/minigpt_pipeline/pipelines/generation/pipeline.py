"""Wiring of the `generation` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.generation.nodes import (
    generate_samples,
    measure_quality,
    plot_loss,
    plot_samples,
)


def create_pipeline() -> Pipeline:
    """`trained_model` to `generated_samples`, `quality_metrics` and the plots."""
    return Pipeline(
        [
            Node(
                generate_samples,
                inputs=["trained_model", "params:generation", "compute"],
                outputs="generated_samples",
                name="generate_samples",
            ),
            Node(
                measure_quality,
                inputs=[
                    "trained_model",
                    "train_token_ids",
                    "test_token_ids",
                    "ngram_model",
                    "params:generation",
                    "compute",
                ],
                outputs=["quality_texts", "quality_metrics"],
                name="measure_quality",
            ),
            Node(plot_samples, inputs="generated_samples", outputs="samples_plot", name="plot_samples"),
            Node(plot_loss, inputs="training_history", outputs="loss_plot", name="plot_loss"),
        ]
    )
