from pathlib import Path
from typing import Any

from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.datasets import TrainedModelDataset
from minigpt_pipeline.pipelines.training import create_pipeline

OUTPUTS = ("training_history", "training_speed", "training_summary")


def test_training_gives_a_model_that_can_be_used(training_inputs: dict[str, Any], tmp_path: Path) -> None:
    training_inputs["params:training"] = training_inputs["params:training"].model_copy(
        update={"checkpoint_every_steps": 1}
    )
    catalog = DataCatalog(
        {name: MemoryDataset(value, copy_mode="assign") for name, value in training_inputs.items()}
        | {name: MemoryDataset() for name in OUTPUTS}
        | {"trained_model": TrainedModelDataset(filepath=str(tmp_path / "trained_model.keras"))}
    )

    SequentialRunner().run(create_pipeline(), catalog)

    assert catalog.load("trained_model").load_model().vocabulary_size == 28
    assert {"train/loss", "val/loss"} <= set(catalog.load("training_history")["name"])
    assert catalog.load("training_summary") == catalog.load("trained_model").metadata
    assert training_inputs["training_log"].samples
    assert not (tmp_path / "checkpoints").exists()  # the model is saved: nobody shall go on from them


def test_training_from_the_champion_asks_for_it_and_makes_the_same() -> None:
    plain, from_champion = create_pipeline(), create_pipeline(from_champion=True)

    assert from_champion.inputs() - plain.inputs() == {"champion", "params:retraining"}
    assert from_champion.all_outputs() == plain.all_outputs()
