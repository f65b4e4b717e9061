"""A model from what a file says of it, which anybody may have written.

Keras would make whatever object a `config.json` names. Here only a `MiniGPT` is made, by its own constructor, from
numbers and words that are checked; weights are read as plain arrays.
"""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from minigpt_pipeline.parameters import ModelParameters

if TYPE_CHECKING:
    import h5py

    from minigpt_pipeline.model.mini_gpt import MiniGPT

NAMES = {
    "module": "minigpt_pipeline.model.mini_gpt",
    "class_name": "MiniGPT",
    "registered_name": "minigpt_pipeline>MiniGPT",
}
"""By which Keras describes a model of ours."""
MAX_SEQUENCE_LENGTH = 1 << 20
"""Tokens: tables of places are made before the weights are read."""
FLOAT_SIZE = 4
"""Bytes of a weight; all are float32."""


class SavedModel(ModelParameters):
    """The arguments of `MiniGPT` in a file; what earlier versions did not write is left out."""

    vocabulary_size: Annotated[int, Field(ge=2)]
    sequence_length: Annotated[int, Field(ge=2, le=MAX_SEQUENCE_LENGTH)]
    head_dim: Annotated[int, Field(ge=1)]
    num_frequent_words: Annotated[int, Field(ge=0)] = 0
    rare_word_dim: Annotated[int, Field(ge=0)] = 0
    unknown_id: Annotated[int, Field(ge=0)] | None = None
    dtype: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    name: Annotated[str, Field(pattern=r"^\w{1,100}$")] = "mini_gpt"

    @property
    def least_size(self) -> int:
        """Bytes that the matrices of such a model have at the least, which tells whether weights can be its own."""
        block = 4 * self.num_heads * self.head_dim + 2 * self.feed_forward_dim
        rows = self.vocabulary_size + self.num_blocks * block
        rows += self.sequence_length if self.positions == "learned" else 0
        return FLOAT_SIZE * self.embed_dim * rows


def make_model(config: bytes, weights: bytes) -> "MiniGPT":
    """Make a model from two members of a `.keras` archive.

    Args:
        config: The `config.json`.
        weights: The `model.weights.h5`.

    Raises:
        ValueError: If they describe anything else than a `MiniGPT`, or weights that are not its own.
    """
    saved = read_config(config)
    check_size(saved, weights)
    from minigpt_pipeline.model.mini_gpt import MiniGPT

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.weights.h5"
        path.write_bytes(weights)
        check_weights(path)
        model = MiniGPT(**saved.model_dump(exclude_unset=True))
        model.load_weights(path)
    return model


def read_config(config: bytes) -> SavedModel:
    """Check a `config.json`.

    Raises:
        ValueError: If it names another class than ours, or arguments that ours does not take.
    """
    described: Any = json.loads(config)
    found = {name: described.get(name) for name in NAMES} if isinstance(described, dict) else {}
    if found != NAMES:
        shown = {name: str(value)[:60] for name, value in found.items()}
        raise ValueError(
            f"config.json describes {shown} and not a MiniGPT of this project: nothing is made from it"
        )
    try:
        return SavedModel.model_validate(described.get("config"), strict=True)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = ".".join(map(str, wrong["loc"]))
        value = "" if wrong["type"] == "missing" else f"={str(wrong['input'])[:60]!r}"
        raise ValueError(f"config.json: {name}{value}: {wrong['msg']}") from error


def check_size(saved: SavedModel, weights: bytes) -> None:
    """See that weights can be those of a model.

    Raises:
        ValueError: If they are too few for it.
    """
    if saved.least_size > len(weights):
        raise ValueError(
            f"{len(weights)} bytes of weights can't be those of the model that config.json describes, which has "
            f"{saved.least_size} at the least"
        )


def check_weights(path: Path) -> None:
    """See that a file holds arrays of float32 and nothing that leads elsewhere or grows when it is read.

    Raises:
        ValueError: If it does not.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            _check_group(file)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"model.weights.h5 can't be read: {error}") from error


def _check_group(group: "h5py.Group") -> None:
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"model.weights.h5: {group.name}/{name} is a link, which leads elsewhere")  # noqa: TRY004
        member = group[name]
        if isinstance(member, h5py.Group):
            _check_group(member)
        elif not isinstance(member, h5py.Dataset) or member.dtype != "float32":
            raise ValueError(f"model.weights.h5: {member.name} holds {member.dtype}, not float32")
        elif member.external or member.is_virtual:
            raise ValueError(f"model.weights.h5: {member.name} lies in another file")
        elif member.nbytes > member.id.get_storage_size():
            raise ValueError(
                f"model.weights.h5: {member.name} has {member.nbytes} bytes and stores "
                f"{member.id.get_storage_size()}"
            )
