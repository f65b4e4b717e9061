"""One of several workers, in a process of its own: `python -m tests.model.multi_worker CASE FOLDER`.

It takes part in a training of `mirrored_worker`, alone where `TF_CONFIG` is not set, and prints the losses that it saw.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.cluster import read_cluster
from minigpt_pipeline.model.compute import configure_compute
from minigpt_pipeline.parameters import ComputeSettings
from tests.model.mirrored_worker import CASES, train_on

SETTINGS = ComputeSettings(
    device="cpu",
    precision="float32",
    memory_growth=True,
    strategy="multi_worker",
    worker_start_seconds=60,
    worker_lost_seconds=5,
    deterministic=True,
)


def main(number: str, folder: str, is_alone: str) -> None:
    case: dict[str, Any] = CASES[int(number)]
    device = configure_compute(SETTINGS, None if is_alone == "alone" else read_cluster())
    device = replace(device, precision=case.get("precision", "float32"))
    losses = train_on(device, case["optimizer"])
    json.dump(losses, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
