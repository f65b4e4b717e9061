"""Trains the same on one device and on two parts of the CPU, in a process that has two: `python mirrored_worker.py`."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.compute import ComputeDevice, configure_compute
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.training_loop import train
from minigpt_pipeline.model.training_record import TrainingRecord
from minigpt_pipeline.model.training_sequences import TruncatedSequences
from minigpt_pipeline.parameters import ComputeSettings, TrainingParameters
from tests.windows import as_windows

CASES: list[dict[str, Any]] = [
    {"optimizer": {"name": "muon", "learning_rate": 0.01, "weight_decay": 0.1, "clip_norm": 0.5}},
    {"optimizer": {"name": "adam", "learning_rate": 0.01, "accumulation_steps": 2}},
    {"optimizer": {"name": "adamw", "learning_rate": 0.01, "average_momentum": 0.9}},
    {"optimizer": {"name": "sgd", "learning_rate": 0.5}, "precision": "mixed_float16"},
]


class Losses:
    """A training log that keeps the losses."""

    name = "losses"

    def __init__(self) -> None:
        self.losses: list[float] = []

    def log(self, step: int, metrics: dict[str, float]) -> None:
        self.losses += [metrics[name] for name in ("train/loss", "val/loss") if name in metrics]

    def log_samples(self, samples: Any) -> None: ...

    def take_over(self, *_: Any, **__: Any) -> None: ...


def train_on(
    device: ComputeDevice,
    optimizer: dict[str, Any],
    checkpoints: CheckpointStore | None = None,
    **settings: Any,
) -> list[float]:
    """Train the small model, and return its losses in their order."""
    keras.utils.set_random_seed(1)
    model = MiniGPT(
        vocabulary_size=30, sequence_length=8, embed_dim=16, num_heads=2, head_dim=8, feed_forward_dim=32,
        num_blocks=2, dropout=0.1 if checkpoints else 0.0, output_layer="adaptive", num_frequent_words=10,
        rare_word_dim=8, normalization="pre", positions="rotary", activation="gelu", dtype="float32",
    )  # fmt: skip
    lengths = np.random.default_rng(3).integers(
        3, 10, 20
    )  # so that the parts of a batch have unlike many words
    letters = 2 + (np.arange(20)[:, None] * 5 + np.arange(9)) % 26  # (20, 9)
    sequences = np.where(np.arange(9) < lengths[:, None], letters, 0).astype(np.int32)
    limits = {"epochs": 4, "max_steps": None, "max_minutes": None, "evaluate_every_steps": None}
    limits |= {"checkpoint_every_minutes": None, "checkpoint_every_steps": None}
    training = TrainingParameters(
        seed=1, batch_size=8, sequences="truncated", log_every_steps=1, sample_every_epochs=9,
        optimizer=optimizer, **limits | settings,
    )  # fmt: skip
    log = Losses()
    train(
        model,
        TruncatedSequences(sequences, seed=1),
        as_windows(sequences),
        training,
        TrainingRecord(log),
        device=device,
        checkpoints=checkpoints,
    )
    return log.losses


def train_with_a_break(device: ComputeDevice, folder: Path) -> list[float]:
    """Train with dropout, killed after five steps and begun again from the checkpoint of the fourth."""
    store, optimizer = CheckpointStore(folder, keep=1), CASES[0]["optimizer"]
    train_on(device, optimizer, store, checkpoint_every_steps=4, max_steps=5)
    return train_on(device, optimizer, store, checkpoint_every_steps=4)


def main() -> None:
    settings = ComputeSettings(
        device="cpu",
        precision="float32",
        memory_growth=True,
        strategy="mirrored",
        logical_cpus=2,
        deterministic=True,
    )
    found: dict[str, Any] = {"cases": []}
    for case in CASES:
        precision = case.get("precision", "float32")
        # `replace`: mixed_float16, whose steps a CPU can take, is refused there.
        both = replace(configure_compute(settings), precision=precision)
        devices = {"one": ComputeDevice("CPU", precision), "both": both}
        found["cases"].append({name: train_on(device, case["optimizer"]) for name, device in devices.items()})
    both = configure_compute(settings)
    with TemporaryDirectory() as folder:
        found["broken"] = train_with_a_break(both, Path(folder, "broken"))
        found["whole"] = train_on(both, CASES[0]["optimizer"], CheckpointStore(Path(folder, "whole"), keep=1))
    json.dump(found | {"device": asdict(both)}, sys.stdout)


if __name__ == "__main__":
    main()
