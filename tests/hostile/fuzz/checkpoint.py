"""What is read back: checkpoints, `.keras` files, tables, JSON and the lines of what was served."""

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.hostile.fuzz.target import Target, UnexplainedError
from tests.made_up_models import make_members

KINDS = (
    "checkpoint",
    "digested",
    "keras",
    "members",
    "json",
    "lineage",
    "parquet",
    "npz",
    "served",
    "tokenizer",
)
"""What an input is read as, by its first byte."""
FINGERPRINT = {"model": "a1"}
BETWEEN_MEMBERS = b"\n\xff\n"


def make_seeds() -> Iterator[bytes]:
    """Yield a small file of each kind."""
    from minigpt_pipeline.datasets.arrow_table_dataset import write_parquet
    from minigpt_pipeline.model.checkpoint import Checkpoint, write_checkpoint
    from minigpt_pipeline.model.saved_model import TrainedModel, save_trained_model
    from minigpt_pipeline.text.served_text import Refusals, ServedText, write_line
    from minigpt_pipeline.text.subword_tokenizer import _SYMBOLS, SubwordTokenizer
    from minigpt_pipeline.text.tokenizer_json import describe_tokenizer
    from minigpt_pipeline.text.vocabulary import Vocabulary
    from minigpt_pipeline.text.word_tokenizer import WordTokenizer
    from minigpt_pipeline.tracking.lineage import Lineage

    folder = Path(tempfile.mkdtemp(prefix="minigpt-fuzz-"))
    arrays = {"model": [np.ones((2, 3), "float32"), np.array(7, "uint32")], "best_weights": []}
    state = {
        "training": {"step": 3, "losses": [[1, 0.5, 2.0]]},
        "record": {"log": "", "history": [], "speed": [], "samples": []},
    }
    write_checkpoint(folder / "a", Checkpoint(3, state, arrays), FINGERPRINT)
    checkpoint = (folder / "a").read_bytes()
    yield bytes([0]) + checkpoint
    yield bytes([1]) + checkpoint[: -hashlib.sha256().digest_size]
    yield bytes([1]) + checkpoint.replace(b"(2, 3)", b"(9, 9)")

    words = WordTokenizer(Vocabulary(("", "[UNK]", "film")), ("Film",))
    subwords = SubwordTokenizer((*_SYMBOLS.values(), "fi"), ("f i",))
    save_trained_model(folder / "b", TrainedModel(make_members(), words, {"seed": 1, "epochs": 1}))
    yield bytes([2]) + (folder / "b").read_bytes()
    with zipfile.ZipFile(folder / "b") as archive:
        yield bytes([3]) + BETWEEN_MEMBERS.join(archive.read(name) for name in archive.namelist())

    yield bytes([4]) + json.dumps({"minigpt_format_version": 4, "a": [1.5, None]}).encode()
    lineage = Lineage("20261123T201500Z-1f3a", "ab", {"model.x": "1"}, "c", {"d": "e"})
    yield bytes([5]) + json.dumps({"minigpt_format_version": 4} | asdict(lineage)).encode()
    import pyarrow as pa

    write_parquet(
        folder / "c", pa.Table.from_pandas(pd.DataFrame({"text": ["A film.", None], "count": [1, 2]}))
    )
    yield bytes([6]) + (folder / "c").read_bytes()
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, minigpt_format_version=np.array(4), counts=np.arange(3))
    yield bytes([7]) + buffer.getvalue()
    text = ServedText(
        at="2026-11-26T10:00:00.000+00:00",
        request_id="r",
        index=0,
        model="m",
        model_version="1",
        data="d",
        prompt_tokens=3,
        unknown_tokens=0,
        new_tokens=2,
        finish_reason="length",
        waited=0.1,
        first_token=0.2,
        seconds=0.5,
        seq_rep_4=None,
        distinct_2=1.0,
        seed=1,
        prompt="a",
        text="a film",
    )
    refusals = Refusals(
        at=text.at, status=429, code="overloaded", count=3, model="m", model_version="1", data="d"
    )
    yield bytes([8]) + write_line(text, with_words=True) + write_line(refusals)
    for tokenizer in (words, subwords):
        content = {"minigpt_format_version": 4, **describe_tokenizer(tokenizer)}
        yield bytes([9]) + json.dumps(content, ensure_ascii=False).encode()


def pack_members(content: bytes, names: tuple[str, ...]) -> bytes:
    """Make a whole archive of members, so that what is in them is looked at."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in zip(names, content.split(BETWEEN_MEMBERS), strict=False):
            archive.writestr(zipfile.ZipInfo(name), member)
    return buffer.getvalue()


def prepare() -> Callable[[bytes], None]:
    """Return what reads an input as its first byte says."""
    from kedro.io import DatasetError

    from minigpt_pipeline.model.checkpoint import FORMAT_NAME

    folder = Path(tempfile.mkdtemp(prefix="minigpt-fuzz-"))
    names = ("metadata.json", "config.json", "model.weights.h5", "tokenizer.json", "minigpt.json")
    readers = list_readers()

    def take(content: bytes) -> None:
        kind = KINDS[content[0] % len(KINDS)] if content else KINDS[0]
        body = content[1:]
        if kind == "digested":
            body = body if body.startswith(FORMAT_NAME) else FORMAT_NAME + b"1\n" + body
            body += hashlib.sha256(body).digest()
        elif kind == "members":
            body = pack_members(body, names)
        path = folder / "2026-11-26.jsonl"
        path.write_bytes(body)
        try:
            readers[kind](path)
        except (ValueError, DatasetError) as error:
            if type(error).__module__.startswith(("json", "zipfile", "pydantic")) or not str(error).strip():
                raise UnexplainedError(f"{kind}: {error!r} does not say what to do") from error

    return take


def list_readers() -> dict[str, Callable[[Path], Any]]:
    """Return what reads a file of each kind."""
    from minigpt_pipeline import datasets
    from minigpt_pipeline.model.checkpoint import read_checkpoint
    from minigpt_pipeline.model.saved_model import load_trained_model
    from minigpt_pipeline.text.served_days import ServedDays
    from minigpt_pipeline.tracking.lineage import lineage_path, read_lineage

    def read_beside(path: Path) -> Any:
        lineage_path(path).write_bytes(path.read_bytes())
        return read_lineage(path)

    def read_served(path: Path) -> Any:
        days = datasets.ServedTextsDataset(path=str(path.parent), data="d").load().days
        return ServedDays(datetime(2026, 11, 27, tzinfo=UTC), "d", days).read(None, 3)

    def read_tables(path: Path) -> Any:
        datasets.TextTableDataset(filepath=str(path)).load()
        return datasets.TableDataset(filepath=str(path)).load()

    return {
        **dict.fromkeys(("checkpoint", "digested"), lambda path: read_checkpoint(path, FINGERPRINT)),
        **dict.fromkeys(("keras", "members"), load_trained_model),
        "json": lambda path: datasets.JsonDataset(filepath=str(path)).load(),
        "lineage": read_beside,
        "parquet": read_tables,
        "npz": lambda path: datasets.NgramModelDataset(filepath=str(path)).load(),
        "served": read_served,
        "tokenizer": lambda path: datasets.TokenizerDataset(filepath=str(path)).load().encoding_digest,
    }


TARGET = Target(make_seeds, prepare, max_megabytes=2000)
