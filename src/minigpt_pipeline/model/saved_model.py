"""A trained model, its tokenizer and where it comes from, in one file.

The file is a standard `.keras` archive, which `keras.saving.load_model` opens, with two members of ours:
`tokenizer.json` (the tokens by id) and `minigpt.json` (format version, metadata, and what tells how the tokenizer
encodes texts). Equal weights give equal bytes.

Keras is imported only when a model is made from it: a file can be read, copied and described without TensorFlow, and
before it is known where TensorFlow shall compute.
"""

import hashlib
import io
import json
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from minigpt_pipeline.files import printable, replacing
from minigpt_pipeline.model.from_file import check_size, make_model, read_config
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.tokenizer_json import describe_tokenizer, make_tokenizer

if TYPE_CHECKING:
    from minigpt_pipeline.model.mini_gpt import MiniGPT

FORMAT_VERSION = 4  # a tokenizer that knows which words have capitals
TOKENIZER_MEMBER = "tokenizer.json"
DESCRIPTION_MEMBER = "minigpt.json"
WEIGHTS_MEMBER = "model.weights.h5"
CONFIG_MEMBER = "config.json"
KERAS_MEMBERS = ("metadata.json", CONFIG_MEMBER, WEIGHTS_MEMBER)
OUR_MEMBERS = (*KERAS_MEMBERS, TOKENIZER_MEMBER, DESCRIPTION_MEMBER)
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip archive can state; a real time would make equal models differ."""

MetadataValue = str | int | float | bool | None


@dataclass(frozen=True)
class TrainedModel:
    """Weights with all that is needed to use them.

    Args:
        keras_members: Content of the members of a `.keras` archive, by name.
        tokenizer: The tokens of the model.
        metadata: How it was trained: `seed`, `epochs`, `steps`, `has_learnt_ends`, ...; the same for equal runs.
    """

    keras_members: dict[str, bytes]
    tokenizer: Tokenizer
    metadata: dict[str, MetadataValue]

    @classmethod
    def from_model(
        cls, model: "MiniGPT", tokenizer: Tokenizer, metadata: dict[str, MetadataValue]
    ) -> "TrainedModel":
        """Take what a model is now; later training does not change it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            with zipfile.ZipFile(path) as archive:
                members = {name: archive.read(name) for name in KERAS_MEMBERS}
        described = json.loads(members["metadata.json"])
        del described["date_saved"]
        members["metadata.json"] = _to_json(described)
        return cls(members, tokenizer, metadata)

    @property
    def epochs(self) -> int:
        """Epochs that were begun in its training."""
        return int(self.metadata["epochs"] or 0)

    @property
    def has_learnt_ends(self) -> bool:
        """Whether it has learnt where reviews end."""
        return bool(self.metadata.get("has_learnt_ends"))

    @property
    def sequence_length(self) -> int:
        """Context, in tokens."""
        return int(json.loads(self.keras_members[CONFIG_MEMBER])["config"]["sequence_length"])

    @property
    def weights_digest(self) -> str:
        """What tells its weights from those of others, 16 hexadecimal digits."""
        return hashlib.sha256(self.keras_members[WEIGHTS_MEMBER]).hexdigest()[:16]

    def load_model(self) -> "MiniGPT":
        """Make the model, the same object in every call; the first imports TensorFlow."""
        return self._model

    @cached_property
    def _model(self) -> "MiniGPT":
        try:
            return make_model(self.keras_members[CONFIG_MEMBER], self.keras_members[WEIGHTS_MEMBER])
        except Exception as error:  # of Keras and HDF5, of any kind
            told = error if isinstance(error, ValueError) else repr(error)
            raise ValueError(
                f"The model can't be made from its file ({told}): train again, or restore it from MLflow"
            ) from error


def save_trained_model(path: Path, trained_model: TrainedModel) -> None:
    """Write a model beside its place and rename it.

    Args:
        path: The file.
        trained_model: What to write.
    """
    members = trained_model.keras_members | {
        TOKENIZER_MEMBER: _to_json(describe_tokenizer(trained_model.tokenizer)),
        DESCRIPTION_MEMBER: _to_json(
            {
                "format_version": FORMAT_VERSION,
                "metadata": trained_model.metadata,
                "encoding": trained_model.tokenizer.encoding_digest,
            }
        ),
    }
    with replacing(path) as partial:
        partial.write_bytes(_zip(members))


def load_trained_model(path: Path) -> TrainedModel:
    """Read what `save_trained_model` has written; TensorFlow is not needed for it.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file of ours, is damaged, another version of the project wrote it, or this process
            encodes texts otherwise than the one that trained it.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no trained model at {path}: run `kedro run --pipelines training` first"
        )
    try:
        return _read_trained_model(path)
    except _UnreadableModelError:
        raise
    # What JSON holds may be of any shape, and nobody can foresee what a library raises on a file that was made up.
    except Exception as error:
        told = printable(" ".join((str(error) if isinstance(error, ValueError) else repr(error)).split()))
        raise ValueError(
            f"{path} is damaged or not a `.keras` archive ({told}): train again, or restore it from MLflow"
        ) from error


class _UnreadableModelError(ValueError):
    """What is wrong with a file is known."""


def _read_trained_model(path: Path) -> TrainedModel:
    members = _read_members(path)
    description = json.loads(members.get(DESCRIPTION_MEMBER, b"{}"))
    if description.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        raise _UnreadableModelError(
            f"{path} has format version {description['format_version']!r}, this version of the project reads "
            f"{FORMAT_VERSION}: update the project, or train again"
        )
    missing = set(OUR_MEMBERS) - members.keys()
    if missing:
        raise _UnreadableModelError(
            f"{path} lacks {sorted(missing)}: expected an archive that the `training` pipeline saved, "
            f"found {sorted(members)[:5]}"
        )
    tokenizer = make_tokenizer(json.loads(members[TOKENIZER_MEMBER]))
    # Earlier versions of the project have not written it.
    encoding = description.get("encoding", tokenizer.encoding_digest)
    if encoding != tokenizer.encoding_digest:
        raise _UnreadableModelError(
            f"{path}: its tokenizer encodes texts otherwise here ({tokenizer.encoding_digest}) than where the model "
            f"was trained ({encoding!r}), and so would be asked about other tokens than it has learnt: use the version "
            "of the project and of its libraries that trained it, or train again"
        )
    metadata = TypeAdapter(dict[str, MetadataValue]).validate_python(description["metadata"], strict=True)
    trained_model = TrainedModel({name: members[name] for name in KERAS_MEMBERS}, tokenizer, metadata)
    _check_sizes(trained_model)
    return trained_model


def _read_members(path: Path) -> dict[str, bytes]:
    """Read the members that are ours, which are stored as they are: what says that it is larger is a bomb."""
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if info.filename in OUR_MEMBERS]
        if sum(info.file_size for info in infos) > path.stat().st_size:
            raise _UnreadableModelError(
                f"{path} unpacks to more than it has, which no file of this project does: train again, or restore it "
                "from MLflow"
            )
        members = {}
        for info in infos:
            with archive.open(info) as file:
                members[info.filename] = file.read(info.file_size + 1)
    return members


def _check_sizes(trained_model: TrainedModel) -> None:
    """See that tokenizer and weights are as large as the sizes say, before a model of any size is made."""
    members = trained_model.keras_members
    saved = read_config(members[CONFIG_MEMBER])
    if saved.vocabulary_size != len(trained_model.tokenizer):
        raise ValueError(
            f"vocabulary_size={saved.vocabulary_size}, and the tokenizer has {len(trained_model.tokenizer)} tokens"
        )
    check_size(saved, members[WEIGHTS_MEMBER])


def _to_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def _zip(members: dict[str, bytes]) -> bytes:
    """Pack members in a given order and at a given time; weights hardly shrink, so nothing is compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content)
    return buffer.getvalue()
