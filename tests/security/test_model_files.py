"""A `.keras` file of somebody else: nothing in it is run, followed or believed."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from minigpt_pipeline.model.saved_model import CONFIG_MEMBER, WEIGHTS_MEMBER, TrainedModel, load_trained_model
from tests.security.conftest import run_unsafely

LOAD_UNSAFELY = """
import json, sys, zipfile, keras
config = json.loads(zipfile.ZipFile(sys.argv[1]).read("config.json"))
keras.saving.deserialize_keras_object(config, safe_mode=False)(keras.ops.zeros((1, 1)))
"""
MAKE_LAMBDA = """
import sys, keras
layer = keras.layers.Lambda(eval(f"lambda x: (open({sys.argv[1]!r}, 'w'), x)[1]"))
model = keras.Sequential([keras.Input((1,)), layer])
sys.stdout.write(model.to_json())
"""
OURS = "minigpt_pipeline>MiniGPT"


def with_config(honest: TrainedModel, change: Callable[[dict[str, Any]], Any]) -> TrainedModel:
    """Return a model whose `config.json` somebody has changed."""
    config = json.loads(honest.keras_members[CONFIG_MEMBER])
    members = honest.keras_members | {CONFIG_MEMBER: json.dumps(change(config) or config).encode()}
    return dataclasses.replace(honest, keras_members=members)


def with_weights(honest: TrainedModel, change: Callable[[h5py.File], None]) -> TrainedModel:
    """Return a model whose weights somebody has changed."""
    file = io.BytesIO(honest.keras_members[WEIGHTS_MEMBER])
    with h5py.File(file, "r+") as weights:
        change(weights)
    return dataclasses.replace(honest, keras_members=honest.keras_members | {WEIGHTS_MEMBER: file.getvalue()})


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.full
def test_marshalled_code_in_a_lambda_layer_is_not_run(
    honest: TrainedModel, mark: Path, tmp_path: Path
) -> None:
    said = run_unsafely(MAKE_LAMBDA, mark)
    config, _ = json.JSONDecoder().raw_decode(said, said.index('{"module"'))
    mark.unlink(missing_ok=True)  # the layer is called where it is made
    crafted = with_config(honest, lambda _: config)
    said = run_unsafely(LOAD_UNSAFELY, write_archive(tmp_path / "model.keras", crafted.keras_members))
    assert mark.exists(), said  # the payload is live
    mark.unlink()

    with pytest.raises(ValueError, match=r"'class_name': 'Sequential'.* and not a MiniGPT of this project"):
        crafted.load_model()
    assert not mark.exists()


@pytest.mark.parametrize(
    "named",
    [
        {"module": "os", "class_name": "system", "registered_name": None},
        {"module": "os", "class_name": "system", "registered_name": OURS},
        {"module": "subprocess", "class_name": "run"},
        {"module": "builtins", "class_name": "exec"},
        {"module": "keras.utils", "class_name": "get_file"},
        {"module": "keras.config", "class_name": "enable_unsafe_deserialization"},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper", "registered_name": "keras>TorchModuleWrapper"},
        {"module": "keras.layers", "class_name": "TextVectorization", "registered_name": "TextVectorization"},
        {"module": "keras.layers", "class_name": "Lambda", "registered_name": OURS},
        {"module": "minigpt_pipeline.model.mini_gpt", "class_name": "create_model", "registered_name": OURS},
        {"module": "minigpt_pipeline.model.mini_gpt.os", "class_name": "MiniGPT", "registered_name": OURS},
        {"registered_name": "keras>Lambda"},
        {"class_name": ["MiniGPT"]},
    ],
)  # fmt: skip
def test_another_class_is_not_made(honest: TrainedModel, mark: Path, named: dict[str, Any]) -> None:
    command = f"touch {mark}"
    for config in ({"command": command}, command, honest.keras_members[CONFIG_MEMBER].decode()):
        crafted = with_config(honest, lambda found, config=config: found | named | {"config": config})  # type: ignore[misc]
        with pytest.raises(ValueError, match=r"config\.json describes .* and not a MiniGPT of this project"):
            crafted.load_model()
    assert not mark.exists()


LAMBDA = {"module": "builtins", "class_name": "__lambda__", "config": {"value": "4wEAAAA="}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", LAMBDA),
        ("activation", "os.system"),
        ("dtype", {"module": "keras.layers", "class_name": "Lambda", "config": {"function": LAMBDA}}),
        ("dtype", "int8_from_float32"),
        ("name", "../../outside"),
        ("unknown_id", "/etc/passwd"),
        ("vocabulary", "/etc/passwd"),  # as of TextVectorization and StringLookup
        ("vocabulary_file", "https://attacker.example/words.txt"),
        ("trainable", True),
        ("num_blocks", -1),
        ("embed_dim", 10**30),
        ("num_blocks", 10**9),
    ],
)
def test_another_argument_is_not_taken(honest: TrainedModel, name: str, value: Any) -> None:
    crafted = with_config(honest, lambda found: found | {"config": found["config"] | {name: value}})

    with pytest.raises(
        ValueError, match=rf"config\.json: {name}=|bytes of weights can't be those of the model"
    ):
        crafted.load_model()


@pytest.mark.parametrize("content", [b"[]", b"null", b'"os.system"', b'{"config": []}'])
def test_what_is_no_description_is_refused(honest: TrainedModel, content: bytes) -> None:
    members = honest.keras_members | {CONFIG_MEMBER: content}
    with pytest.raises(ValueError, match=r"config\.json describes"):
        dataclasses.replace(honest, keras_members=members).load_model()


FIRST = "layers/full_softmax/vars/0"


def _link_elsewhere(file: h5py.File) -> None:
    del file[FIRST]
    file[FIRST] = h5py.ExternalLink("/etc/passwd", "/")


def _link_softly(file: h5py.File) -> None:
    del file[FIRST]
    file[FIRST] = h5py.SoftLink("/vars")


def _lie_outside(file: h5py.File) -> None:
    shape = file[FIRST].shape
    del file[FIRST]
    file.create_dataset(FIRST, shape, "float32", external=[("/etc/passwd", 0, 4 * int(np.prod(shape)))])


def _lie_in_another_file(file: h5py.File) -> None:
    shape = file[FIRST].shape
    del file[FIRST]
    layout = h5py.VirtualLayout(shape, "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", shape)
    file.create_virtual_dataset(FIRST, layout)


def _hold_objects(file: h5py.File) -> None:
    del file[FIRST]
    file.create_dataset(FIRST, data=["cos\nsystem\n(S'true'\ntR."], dtype=h5py.string_dtype())


def _grow(file: h5py.File) -> None:
    del file[FIRST]
    file.create_dataset(FIRST, (10**6, 10**6), "float32", chunks=(1000, 1000), compression="gzip")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_link_elsewhere, "is a link, which leads elsewhere"),
        (_link_softly, "is a link, which leads elsewhere"),
        (_lie_outside, "lies in another file"),
        (_lie_in_another_file, "lies in another file"),
        (_hold_objects, "holds object, not float32"),
        (_grow, "has 4000000000000 bytes and stores 0"),
    ],
)
def test_weights_that_lead_elsewhere_are_refused(
    honest: TrainedModel, change: Callable[[h5py.File], None], told: str
) -> None:
    with pytest.raises(ValueError, match=rf"model\.weights\.h5: /{FIRST} {told}"):
        with_weights(honest, change).load_model()


def test_weights_that_are_missing_or_no_file_of_weights_are_refused(honest: TrainedModel) -> None:
    with pytest.raises(ValueError, match="could not be loaded"):
        with_weights(honest, lambda file: file.pop(FIRST)).load_model()
    noise = honest.keras_members | {WEIGHTS_MEMBER: b"\x80\x04" + bytes(100_000)}
    with pytest.raises(ValueError, match="can't be read"):
        dataclasses.replace(honest, keras_members=noise).load_model()


@pytest.mark.parametrize(
    "name", ["../outside", "/tmp/minigpt-outside", "..\\outside", "model.weights.h5/../../outside"]
)
def test_further_members_are_written_nowhere(honest_file: Path, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(honest_file) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    folder = tmp_path / "deep" / "deeper"
    folder.mkdir(parents=True)
    loaded = load_trained_model(write_archive(folder / "model.keras", members | {name: b"outside"}))

    assert loaded.load_model().vocabulary_size == len(loaded.tokenizer)
    assert name not in loaded.keras_members
    assert [path for path in tmp_path.rglob("*") if "outside" in path.name] == []


def test_a_member_that_is_a_link_is_read_as_its_bytes(honest_file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest_file) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    link = zipfile.ZipInfo(WEIGHTS_MEMBER)
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(
                link if name == WEIGHTS_MEMBER else name,
                b"/etc/passwd" if name == WEIGHTS_MEMBER else content,
            )

    with pytest.raises(ValueError, match="11 bytes of weights can't be those"):
        load_trained_model(tmp_path / "model.keras").load_model()


def test_members_that_grow_are_refused_before_they_do(honest_file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONFIG_MEMBER, bytes(100_000_000))

    with pytest.raises(ValueError, match="unpacks to more than it has"):
        load_trained_model(tmp_path / "model.keras")
