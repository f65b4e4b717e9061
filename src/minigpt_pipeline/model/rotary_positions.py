"""Where a word stands, told by how far its queries and keys are turned: their product knows only their distance."""

from typing import Any

import numpy as np
from keras import ops

BASE = 10_000
"""Of the angles; the paper's (section 3.3), as in Vaswani et al., 2017, section 3.5."""


def make_rotations(length: int, head_dim: int) -> np.ndarray:
    """Return by how much each place turns each pair of a head's columns.

    Args:
        length: Number of places.
        head_dim: Width of a head, even.

    Returns:
        float32, (length, 2, head_dim / 2): cosines and sines of `place x BASE^(-2 pair / head_dim)`, taken in float64.
        A table, as a kernel may treat what doesn't fill a register in a way of its own; see `few_rows`.

    References:
        [Su et al., 2021](https://arxiv.org/abs/2104.09864), section 3.2.2.
    """
    speeds = BASE ** (-np.arange(0, head_dim, 2) / head_dim)  # (head_dim / 2,)
    angles = np.outer(np.arange(length), speeds)  # (length, head_dim / 2)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")


def rotate(heads: Any, rotations: Any) -> Any:
    """Turn queries or keys. A pair is a column of the first half and its counterpart in the second.

    Args:
        heads: Compute dtype, `(batch, head, length, head_dim)`.
        rotations: float32, of the place of each: `(length, 2, head_dim / 2)`, or with the batch, `(batch, 1, length, 2,
            head_dim / 2)`.

    Returns:
        The shape and dtype of `heads`. Turned in float32: eight bits of bfloat16 are too few for an angle.
    """
    first, second = ops.split(
        ops.cast(heads, "float32"), 2, axis=-1
    )  # each (batch, head, length, head_dim / 2)
    cosines, sines = rotations[..., 0, :], rotations[..., 1, :]  # each (length, head_dim / 2)
    turned = [first * cosines - second * sines, second * cosines + first * sines]
    return ops.cast(ops.concatenate(turned, axis=-1), heads.dtype)  # (batch, head, length, head_dim)
