"""One of several workers, in a process of its own: `python -m tests.model.multi_worker CASE`.

It takes part in a training of `mirrored_worker`, and prints the losses that it saw.
"""

import json
import sys
from dataclasses import replace
from typing import Any

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


def main(number: int) -> None:
    case: dict[str, Any] = CASES[number]
    # `replace`: mixed_float16, whose steps a CPU can take, is refused there.
    device = replace(configure_compute(SETTINGS, read_cluster()), precision=case.get("precision", "float32"))
    losses = train_on(device, case["optimizer"])
    sys.stdout.write(json.dumps(losses) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
