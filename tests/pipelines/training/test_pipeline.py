from typing import Any

from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.pipelines.training import create_pipeline

OUTPUTS = ("trained_model", "training_history", "training_speed")


def test_training_gives_a_model_that_can_be_used(training_inputs: dict[str, Any]) -> None:
    catalog = DataCatalog(
        {name: MemoryDataset(value, copy_mode="assign") for name, value in training_inputs.items()}
        | {name: MemoryDataset() for name in OUTPUTS}
    )

    SequentialRunner().run(create_pipeline(), catalog)

    assert catalog.load("trained_model").load_model().vocabulary_size == 28
    assert {"train/loss", "val/loss"} <= set(catalog.load("training_history")["name"])
    assert training_inputs["training_log"].samples
