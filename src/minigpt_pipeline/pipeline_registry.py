"""The pipelines by the names that `kedro run --pipelines NAME` takes."""

from kedro.pipeline import Pipeline

from minigpt_pipeline.pipelines import (
    comparison,
    evaluation,
    generation,
    incoming,
    ingestion,
    monitoring,
    promotion,
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
    checked = stages["ingestion"] + stages["validation"]
    measured = stages["evaluation"] + stages["generation"]
    data, model = checked + stages["vectorization"], stages["training"] + measured
    by_name_only = {
        "incoming": incoming.create_pipeline(),
        "promotion": promotion.create_pipeline(),
        "sweep": sweep.create_pipeline(),
        "comparison": comparison.create_pipeline(),
        "monitoring": monitoring.create_pipeline(),
    }
    retraining = (
        by_name_only["incoming"]
        + checked
        + vectorization.create_pipeline(keep_vocabulary=True)
        + training.create_pipeline(from_champion=True)
        + measured
        + by_name_only["promotion"]
    )
    return stages | by_name_only | {"data": data, "retraining": retraining, "__default__": data + model}
