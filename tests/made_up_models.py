"""Members of a `.keras` file whose weights don't matter."""

import json
from typing import Any

from minigpt_pipeline.model.from_file import NAMES

SIZES: dict[str, Any] = {
    "vocabulary_size": 3,
    "sequence_length": 4,
    "embed_dim": 2,
    "num_heads": 1,
    "head_dim": 2,
    "feed_forward_dim": 2,
    "num_blocks": 1,
    "dropout": 0.1,
}


def make_members(**changes: Any) -> dict[str, bytes]:
    """Return members that describe a model, with zeros for weights, as many as it has at the least."""
    sizes = SIZES | changes
    return {
        "metadata.json": b"{}",
        "config.json": json.dumps(NAMES | {"config": sizes}).encode(),
        "model.weights.h5": bytes(400 + 4 * sizes["vocabulary_size"] * sizes["embed_dim"]),
    }
