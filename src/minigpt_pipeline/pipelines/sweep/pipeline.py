"""Wiring of the `sweep` pipeline."""

from kedro.pipeline import Node, Pipeline

from minigpt_pipeline.pipelines.sweep.nodes import (
    plot_parameters,
    plot_search,
    plot_trials,
    search_parameters,
)


def create_pipeline() -> Pipeline:
    """Token ids of `train` and `validation` to `best_parameters`, with the trials and their plots."""
    return Pipeline(
        [
            Node(
                search_parameters,
                inputs=[
                    "train_token_ids",
                    "validation_token_ids",
                    "tokenizer",
                    "params:model",
                    "params:training",
                    "params:generation",
                    "compute",
                    "params:sweep",
                    "sweep_study",
                    "sweep_log",
                ],
                outputs=["sweep_trials", "sweep_looks", "best_parameters"],
                name="search_parameters",
            ),
            Node(plot_search, inputs="sweep_trials", outputs="search_plot", name="plot_search"),
            Node(plot_parameters, inputs="sweep_trials", outputs="parameters_plot", name="plot_parameters"),
            Node(
                plot_trials, inputs=["sweep_trials", "sweep_looks"], outputs="trials_plot", name="plot_trials"
            ),
        ]
    )
