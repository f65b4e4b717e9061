"""Everything that the project tells MLflow; no other room but `serving` imports it."""

from minigpt_pipeline.tracking.model_runs import ModelRunsDataset
from minigpt_pipeline.tracking.model_versions import ChampionDataset, ModelVersionsDataset, RegistryDataset
from minigpt_pipeline.tracking.sweep_log import SweepLogDataset
from minigpt_pipeline.tracking.training_log import TrainingLogDataset

__all__ = [
    "ChampionDataset",
    "ModelRunsDataset",
    "ModelVersionsDataset",
    "RegistryDataset",
    "SweepLogDataset",
    "TrainingLogDataset",
]
