"""A trained model with its tokenizer."""

from pathlib import Path

from minigpt_pipeline.datasets.local_dataset import LocalDataset
from minigpt_pipeline.model.saved_model import TrainedModel, load_trained_model, save_trained_model


class TrainedModelDataset(LocalDataset[TrainedModel]):
    """One `.keras` file that holds weights, tokenizer and where they come from."""

    def read(self, path: Path) -> TrainedModel:
        """Read the model; this imports TensorFlow."""
        return load_trained_model(path)

    def write(self, path: Path, content: TrainedModel) -> None:
        """Write the model."""
        save_trained_model(path, content)
