"""The pipelines by the names that `kedro run --pipelines NAME` takes."""

from kedro.pipeline import Pipeline

from minigpt_pipeline.pipelines import (
    comparison,
    evaluation,
    generation,
    incoming,
    ingestion,
    sweep,
    training,
    validation,
    vectorization,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return each pipeline, and what is composed of them.

    The imports are explicit: `find_pipelines` looks only for modules, and so knows no composed name.
    """
    stages = {
        "ingestion": ingestion.create_pipeline(),
        "validation": validation.create_pipeline(),
        "vectorization": vectorization.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "generation": generation.create_pipeline(),
    }
    data = stages["ingestion"] + stages["validation"] + stages["vectorization"]
    model = stages["training"] + stages["evaluation"] + stages["generation"]
    by_name_only = {
        "comparison": comparison.create_pipeline(),
        "incoming": incoming.create_pipeline(),
        "sweep": sweep.create_pipeline(),
    }
    return stages | by_name_only | {"data": data, "__default__": data + model}
