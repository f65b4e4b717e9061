import copy
import dataclasses
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.model.mini_gpt import MiniGPT, create_model
from minigpt_pipeline.model.saved_model import (
    FORMAT_VERSION,
    TrainedModel,
    load_trained_model,
    save_trained_model,
)
from minigpt_pipeline.parameters import ModelParameters
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.model.conftest import OPTIONS, SIZES


@pytest.fixture
def trained_model(model: MiniGPT, letters: WordTokenizer) -> TrainedModel:
    return TrainedModel.from_model(
        model, letters, {"epochs": 3, "best_validation_loss": 0.1, "ended_by": "epochs"}
    )


@pytest.fixture
def saved(trained_model: TrainedModel, tmp_path: Path) -> Path:
    path = tmp_path / "models/trained_model.keras"
    save_trained_model(path, trained_model)
    return path


def rewrite(path: Path, member: str, content: bytes | None) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in members.items():
            if name != member:
                archive.writestr(name, old)
        if content is not None:
            archive.writestr(member, content)


def test_save_and_load_give_bit_equal_logits(saved: Path, model: MiniGPT, alphabets: np.ndarray) -> None:
    loaded = load_trained_model(saved)

    assert np.array_equal(loaded.load_model()(alphabets[:, :8]), model(alphabets[:, :8]))
    assert loaded.load_model() is loaded.load_model()
    assert loaded.epochs == 3


def test_save_and_load_keep_what_a_model_has_been_asked_for(
    make_model: Callable[..., MiniGPT], letters: WordTokenizer, alphabets: np.ndarray, tmp_path: Path
) -> None:
    model = make_model(**OPTIONS)
    save_trained_model(tmp_path / "model.keras", TrainedModel.from_model(model, letters, {}))

    loaded = load_trained_model(tmp_path / "model.keras").load_model()

    assert loaded.get_config() == model.get_config()
    assert np.array_equal(loaded(alphabets[:, :8]), model(alphabets[:, :8]))


def test_load_gives_back_vocabulary_and_metadata(saved: Path, trained_model: TrainedModel) -> None:
    assert load_trained_model(saved) == trained_model


@pytest.mark.parametrize(
    ("metadata", "has_learnt_ends"),
    [({"has_learnt_ends": True}, True), ({"has_learnt_ends": False}, False), ({}, False)],
)
def test_a_trained_model_knows_whether_it_has_learnt_ends(
    trained_model: TrainedModel, tmp_path: Path, metadata: dict[str, bool], has_learnt_ends: bool
) -> None:
    """A file of an earlier version does not say it."""
    save_trained_model(tmp_path / "model.keras", dataclasses.replace(trained_model, metadata=metadata))

    assert load_trained_model(tmp_path / "model.keras").has_learnt_ends is has_learnt_ends


def test_save_writes_equal_bytes_for_equal_weights(
    saved: Path, trained_model: TrainedModel, tmp_path: Path
) -> None:
    loaded = load_trained_model(saved)
    again = TrainedModel.from_model(loaded.load_model(), loaded.tokenizer, loaded.metadata)

    save_trained_model(tmp_path / "again.keras", again)

    assert (tmp_path / "again.keras").read_bytes() == saved.read_bytes()


def test_later_training_does_not_change_a_trained_model(trained_model: TrainedModel, model: MiniGPT) -> None:
    before = copy.deepcopy(trained_model)

    model.set_weights([weight + 1 for weight in model.get_weights()])

    assert trained_model == before


def test_file_is_a_standard_keras_archive(saved: Path, model: MiniGPT) -> None:
    loaded = keras.saving.load_model(saved)

    assert [weight.tolist() for weight in loaded.get_weights()] == [
        weight.tolist() for weight in model.get_weights()
    ]


def test_load_needs_no_tensorflow(saved: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from minigpt_pipeline.model.saved_model import load_trained_model;"
        "load_trained_model(Path(sys.argv[1])); print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "set()"


def test_load_says_that_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no trained model at .*absent.keras: run `kedro run --pipelines training`"
    ):
        load_trained_model(tmp_path / "absent.keras")


@pytest.mark.parametrize("length", [0, 10, -100])
def test_load_refuses_a_damaged_file(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])

    with pytest.raises(ValueError, match=r"trained_model.keras is damaged or not a `.keras` archive"):
        load_trained_model(saved)


def test_load_refuses_flipped_bits(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1
    saved.write_bytes(content)

    with pytest.raises(ValueError, match="is damaged"):
        load_trained_model(saved)


def test_load_refuses_a_foreign_keras_file(model: MiniGPT, tmp_path: Path) -> None:
    model.save(tmp_path / "foreign.keras")

    with pytest.raises(ValueError, match=r"foreign.keras lacks \['minigpt.json', 'tokenizer.json'\]"):
        load_trained_model(tmp_path / "foreign.keras")


def test_load_refuses_a_newer_format(saved: Path) -> None:
    rewrite(
        saved, "minigpt.json", json.dumps({"format_version": FORMAT_VERSION + 1, "metadata": {}}).encode()
    )

    with pytest.raises(
        ValueError,
        match=f"has format version {FORMAT_VERSION + 1}, this version of the project reads {FORMAT_VERSION}",
    ):
        load_trained_model(saved)


def test_load_refuses_a_model_with_a_vocabulary_by_its_format(saved: Path) -> None:
    """As 0.2.0 saved it."""
    rewrite(saved, "tokenizer.json", None)
    rewrite(saved, "vocabulary.json", b'["", "[UNK]", "a"]')
    rewrite(saved, "minigpt.json", json.dumps({"format_version": 2, "metadata": {}}).encode())

    with pytest.raises(
        ValueError, match=r"trained_model.keras has format version 2, .*reads 4: .*train again"
    ):
        load_trained_model(saved)


def test_load_refuses_a_model_that_knows_no_capitals_by_its_format(saved: Path) -> None:
    """As versions between 0.2.0 and this one saved it."""
    rewrite(saved, "tokenizer.json", b'{"tokenizer": "word", "words": ["", "[UNK]", "a"]}')
    rewrite(saved, "minigpt.json", json.dumps({"format_version": 3, "metadata": {}}).encode())

    with pytest.raises(
        ValueError, match=r"trained_model.keras has format version 3, .*reads 4: .*train again"
    ):
        load_trained_model(saved)


def test_a_model_of_subwords_is_saved_with_them(tmp_path: Path) -> None:
    tokenizer = train_subword_tokenizer(pa.table({"word": ["the"], "count": [9]}), size=260, forms=("The",))
    model = create_model(ModelParameters(**SIZES), len(tokenizer), tokenizer.unknown_id)
    save_trained_model(tmp_path / "model.keras", TrainedModel.from_model(model, tokenizer, {}))

    loaded = load_trained_model(tmp_path / "model.keras")

    assert loaded.tokenizer == tokenizer
    assert loaded.load_model().unknown_id is None


def test_save_leaves_the_old_file_where_it_fails(saved: Path, trained_model: TrainedModel) -> None:
    old = saved.read_bytes()
    broken = TrainedModel(trained_model.keras_members, trained_model.tokenizer, {"seed": {1, 2}})  # type: ignore[dict-item]

    with pytest.raises(TypeError, match="not JSON serializable"):
        save_trained_model(saved, broken)

    assert saved.read_bytes() == old
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
