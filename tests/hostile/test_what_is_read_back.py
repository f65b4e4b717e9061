"""Files of ours that somebody has changed, with their digests made right again."""

import hashlib
import io
import json
import os
import sqlite3
import zipfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import JsonDataset, NgramModelDataset, ServedTextsDataset, TextTableDataset
from minigpt_pipeline.model.checkpoint import (
    Checkpoint,
    UnusableCheckpointError,
    read_checkpoint,
    write_checkpoint,
)
from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.saved_model import TrainedModel, load_trained_model, save_trained_model
from minigpt_pipeline.search.study_store import StudyError, StudyStore
from minigpt_pipeline.text.served_days import ServedDays
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from minigpt_pipeline.tracking.lineage import Lineage, lineage_path, read_lineage, write_lineage
from tests.made_up_models import make_members

FINGERPRINT = {"model": "a1"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    save_trained_model(
        path, TrainedModel(make_members(), WordTokenizer(Vocabulary(("", "[UNK]", "film"))), {"epochs": 1})
    )
    return path


def change(path: Path, member: str, content: bytes) -> None:
    """Put another member into a `.keras` file, whole and with its checksum."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | {member: content}
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in members.items():
            archive.writestr(name, each)


@pytest.mark.parametrize("member", ["minigpt.json", "tokenizer.json", "config.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"1", b"null", b'"x"', b"{}", b"[" * 100_000, b"9" * 5000, b'{"metadata": 1, "config": 2}'],
    ids=["nothing", "list", "number", "null", "string", "object", "nested", "large", "other"],
)  # fmt: skip
def test_a_model_whose_json_is_of_another_shape_is_refused(model: Path, member: str, content: bytes) -> None:
    change(model, member, content)

    with pytest.raises(ValueError, match=r"model\.keras .*train again") as raised:
        load_trained_model(model)
    assert type(raised.value).__module__ in {"builtins", "minigpt_pipeline.model.saved_model"}


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"tokenizer": "word", "words": [1, 2], "forms": []}, "words are no list of strings"),
        ({"tokenizer": "word", "words": ["", "[UNK]"], "forms": "x"}, "forms are no list of strings"),
        ({"tokenizer": "subword", "tokens": ["\u4e00"], "merges": [], "forms": []}, "stand for no bytes"),
        ({"tokenizer": "subword", "tokens": [], "merges": ["a b c"], "forms": []}, "which are no pairs"),
    ],
)
def test_a_tokenizer_of_another_shape_is_refused(
    model: Path, tokenizer: dict[str, Any], message: str
) -> None:
    change(model, "tokenizer.json", json.dumps(tokenizer).encode())

    with pytest.raises(ValueError, match=message):
        load_trained_model(model)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"embed_dim": 10**9}, "424 bytes of weights can't be those of the model"),
        ({"num_blocks": 10**9}, "bytes of weights can't be those"),
        ({"vocabulary_size": 10**9}, "vocabulary_size=1000000000, and the tokenizer has 3 tokens"),
        ({"sequence_length": 10**12}, "sequence_length"),
        ({"num_heads": -1}, "num_heads"),
        ({"embed_dim": "2"}, "embed_dim"),
    ],
)
def test_a_model_is_not_made_larger_than_its_weights(
    model: Path, sizes: dict[str, Any], message: str
) -> None:
    described = json.loads(make_members()["config.json"])
    described["config"] |= sizes
    change(model, "config.json", json.dumps(described).encode())

    with pytest.raises(ValueError, match=message):
        load_trained_model(model)


def test_a_model_that_unpacks_to_more_than_it_has_is_refused(model: Path) -> None:
    with (
        zipfile.ZipFile(model, "a", zipfile.ZIP_DEFLATED) as archive,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        archive.writestr("model.weights.h5", bytes(10_000_000))

    with pytest.raises(ValueError, match=r"unpacks to more than it has, .*: train again"):
        load_trained_model(model)


def test_a_member_that_is_not_ours_is_never_unpacked(model: Path) -> None:
    with zipfile.ZipFile(model, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("bomb", bytes(50_000_000))

    assert load_trained_model(model).epochs == 1


def digested(first_lines: bytes) -> bytes:
    return first_lines + hashlib.sha256(first_lines).digest()


def described(**changes: Any) -> bytes:
    description = {"fingerprint": FINGERPRINT, "step": 3, "state": {}, "arrays": {"model": 1}} | changes
    return b"minigpt checkpoint 1\n" + json.dumps(description).encode() + b"\n"


def headed(head: str) -> bytes:
    """Return the beginning of an array, with whatever head."""
    text = head.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"minigpt checkpoint 1" + b" " * 10_000_000, "format version 1, this version"),
        (
            b"minigpt checkpoint 1\n" + b"[" * 100_000 + b"\n",
            "is no checkpoint of this project: maximum recursion",
        ),
        (b"minigpt checkpoint 1\n[]\n", "is no checkpoint of this project"),
        (described(step="3"), "step"),
        (described(step=-1), "step"),
        (described(fingerprint=None), "fingerprint"),
        (described(arrays={"model": 10**15}), "is no checkpoint of this project"),
        (described(arrays=[1]), "arrays"),
        (
            described() + headed("{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000,)}"),
            "of shape",
        ),
        (
            described() + headed("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
            r"of shape \(-1,\)",
        ),
        (
            described() + headed("{'descr': '|O', 'fortran_order': False, 'shape': (0,)}"),
            "Object arrays cannot",
        ),
        (described() + headed("__import__('os').system('true')"), "is no checkpoint of this project"),
        (described() + headed("(" * 100), "is no checkpoint of this project"),
    ],
)
def test_a_checkpoint_that_was_made_up_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.checkpoint").write_bytes(digested(content))

    with pytest.raises(UnusableCheckpointError, match=message):
        read_checkpoint(tmp_path / "a.checkpoint", FINGERPRINT)


def test_a_pipe_or_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "000001.checkpoint", Checkpoint(3, {}, {"model": [np.ones(2)]}), FINGERPRINT)
    os.mkfifo(tmp_path / "000002.checkpoint")
    (tmp_path / "000003.checkpoint").mkdir()

    checkpoint = CheckpointStore(tmp_path, 2, FINGERPRINT).load_newest(5)

    assert checkpoint is not None
    assert checkpoint.step == 3


@pytest.mark.parametrize("content", [b"[1]", b"[" * 100_000, b"9" * 5000, b"\xff"])
def test_json_of_another_shape_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)

    with pytest.raises(DatasetError, match=r"a\.json is no.* JSON.*: make it again"):
        JsonDataset(filepath=str(tmp_path / "a.json")).load()


@pytest.mark.parametrize("change", [{"cycle": 1}, {"parameters": [1]}, {"made_of": {"a": None}}])
def test_a_lineage_of_another_shape_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    write_lineage(tmp_path / "data", Lineage("a cycle"))
    JsonDataset(filepath=str(lineage_path(tmp_path / "data"))).save(asdict(Lineage("a cycle")) | change)

    with pytest.raises(DatasetError, match=r"data\.lineage\.json is no lineage \(.*\): remove it"):
        read_lineage(tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 60 + b"PAR1"])
def test_a_damaged_table_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(content)

    with pytest.raises(DatasetError, match=r"a\.parquet is damaged or no parquet file .*: make it again"):
        TextTableDataset(filepath=str(tmp_path / "a.parquet")).load()


def test_arrays_that_are_no_n_gram_model_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, minigpt_format_version=np.array(4), other=np.arange(3))
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())

    with pytest.raises(DatasetError, match="is not an archive of arrays"):
        NgramModelDataset(filepath=str(tmp_path / "a.npz")).load()


def test_lines_of_what_was_served_that_were_made_up_are_counted_as_damaged(tmp_path: Path) -> None:
    good = {"at": "2026-11-26T10:00:00+00:00", "status": 429, "code": "x", "count": 3, "model": "m",
            "model_version": "1", "data": "d", "kind": "refused", "format_version": 1}  # fmt: skip
    lines = [
        good, good | {"count": 10**30}, good | {"at": "0001-01-01T00:00:00+23:59"}, good | {"count": "3"}, [1], None,
    ]  # fmt: skip
    content = "\n".join(map(json.dumps, lines)) + "\n" + "[" * 100_000 + "\n" + "x" * 40_000_000
    (tmp_path / "2026-11-26.jsonl").write_text(content)
    os.mkfifo(tmp_path / "2026-11-25.jsonl")
    days = ServedTextsDataset(path=str(tmp_path), data="d").load().days

    records = ServedDays(datetime(2026, 11, 27, tzinfo=UTC), "d", days).read(None, 3)

    assert records.refusals["count"].sum() in {3, 6}  # "3" is read as a number
    assert records.damaged_lines >= 6


@pytest.mark.parametrize("kind", ["other content", "other tables"])
def test_a_study_that_is_none_is_told(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.db"
    if kind == "other content":
        path.write_bytes(b"no database" * 100)
    else:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE studies (study_id TEXT)")
            database.execute("CREATE TABLE version_info (version_info_id INTEGER, schema_version INTEGER)")
        database.close()

    with (
        pytest.raises(
            StudyError, match=r"sweep\.db can't be read as the trials of a search .*: restore it, or move"
        ),
        StudyStore(path).open({"data": "x"}),
    ):
        pass
