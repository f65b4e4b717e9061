"""A real MLflow store of each test's own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """An SQLite store with its experiment; MLflow keeps both in globals, which are put back."""
    from minigpt_pipeline.tracking.store import TrackingSettings, connect

    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_database, folder / "mlflow.db")
    settings = TrackingSettings(
        tracking_uri="sqlite:///mlflow.db",
        artifact_location="mlartifacts",
        experiment="minigpt",
        system_metrics=False,
        system_metrics_interval=1,
    )
    yield connect(settings, folder)
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


@pytest.fixture
def run_id(store: str) -> Iterator[str]:
    """An open run."""
    with mlflow.start_run() as run:
        yield run.info.run_id


@pytest.fixture
def artifacts(run_id: str) -> Path:
    """Where the open run keeps its artifacts."""
    return Path(mlflow.get_artifact_uri().removeprefix("file://"))


@pytest.fixture(scope="session")
def tiny_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of seven words, with fresh weights."""
    import keras

    from minigpt_pipeline.model.mini_gpt import create_model
    from minigpt_pipeline.model.saved_model import TrainedModel, save_trained_model
    from minigpt_pipeline.parameters import ModelParameters
    from minigpt_pipeline.text.vocabulary import Vocabulary
    from minigpt_pipeline.text.word_tokenizer import WordTokenizer

    keras.utils.set_random_seed(0)
    words = WordTokenizer(Vocabulary(("", "[UNK]", "the", "film", "a", "plot", "is")), forms=("Miller",))
    sizes = ModelParameters(
        sequence_length=6,
        embed_dim=8,
        num_heads=2,
        head_dim=None,
        feed_forward_dim=8,
        num_blocks=1,
        dropout=0.0,
    )
    path = tmp_path_factory.mktemp("tiny") / "trained_model.keras"
    save_trained_model(path, TrainedModel.from_model(create_model(sizes, len(words)), words, {"epochs": 1}))
    return path
