"""Archives and files of texts: the reader of the archive, and that of batches of new data."""

import io
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from tests.hostile.fuzz.target import Target

MAX_BYTES = 2_000_000
MAX_FILES = 200
NAMES = (
    "batch.tar", "batch.tar.gz", "batch.zip", "a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.txt",
    "archive.tar", "repaired.tar", "repaired.zip", "own.csv", "own.jsonl", "own.txt", "own.parquet",
)  # fmt: skip
"""What an input is read as, by its first byte."""


def make_seeds() -> Iterator[bytes]:
    """Yield small files of each kind."""
    tables = (
        "text,label,rating,movie_id\nA fine film.,pos,9,tt0000001\n\"Slow, dull\",,2,\n",
        "text\n\n\"a\nb\"\n",
    )  # fmt: skip
    lines = '{"text": "A fine film.", "rating": 9}\n{"text": null, "label": "neg"}\n'
    parquet = io.BytesIO()
    pd.DataFrame({"text": ["A fine film.", None], "rating": [9.0, None]}).to_parquet(parquet)
    files = {
        "aclImdb/train/pos/0_9.txt": b"A fine film.",
        "aclImdb/train/urls_pos.txt": b"http://www.imdb.com/title/tt0000001/usercomments\n",
        "a.csv": tables[0].encode(),
    }
    contents = {
        "csv": tables[0].encode(),
        "tsv": tables[0].replace(",", "\t").encode(),
        "jsonl": lines.encode(),
        "parquet": parquet.getvalue(),
        "txt": b"A fine film.\n\nSlow, dull.\n",
        "tar": pack_tar(files),
        "gz": pack_tar(files, "gz"),
        "zip": pack_zip(files),
    }
    for number, name in enumerate(NAMES):
        yield bytes([number]) + contents[name.rpartition(".")[2]]
    yield bytes([NAMES.index("a.csv")]) + tables[1].encode()
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        yield bytes([NAMES.index("repaired.tar")]) + pack_tar({"n" * 150 + "é.txt": b"A film."}, form=form)


def pack_tar(files: dict[str, bytes], compression: str = "", form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}", format=form) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def pack_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def repair_tar(content: bytes) -> bytes:
    """Make the checksum of each head right, so that what it says is looked at."""
    blocks = [
        bytearray(content[start : start + 512].ljust(512, b"\0")) for start in range(0, len(content), 512)
    ]
    for block in blocks:
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join([*blocks, bytes(1024)])


def repair_zip(content: bytes) -> bytes:
    """Put an end behind it that names a list of entries where one begins, with all in it that looks like one."""
    start = content.find(b"PK\x01\x02")
    end = content.rfind(b"PK\x05\x06")
    if start < 0:
        return content
    entries = content[start : end if end > start else None]
    count = entries.count(b"PK\x01\x02") & 0xFFFF
    return (
        content[:start]
        + entries
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entries), start, 0)
    )


def prepare() -> Callable[[bytes], None]:
    """Return what reads an input as the file that its first byte says."""
    from kedro.io import DatasetError

    from minigpt_pipeline.datasets.documents_dataset import DocumentsDataset
    from minigpt_pipeline.datasets.incoming_batches_dataset import IncomingBatchesDataset
    from minigpt_pipeline.datasets.reviews_archive_dataset import ReviewsArchiveDataset
    from minigpt_pipeline.parameters import DocumentsParameters, IngestionParameters
    from minigpt_pipeline.pipelines.ingestion.nodes import read_reviews
    from minigpt_pipeline.text.imdb import tabulate_reviews
    from minigpt_pipeline.text.review_files import parse_review_files

    folder = Path(tempfile.mkdtemp(prefix="minigpt-fuzz-"))
    limits = {"max_megabytes": MAX_BYTES / 1e6, "max_documents": 5000}
    own = IngestionParameters(
        include_unlabelled=True,
        documents=DocumentsParameters(text_column="text", film_column="movie_id", **limits),
    )
    imdb = IngestionParameters(include_unlabelled=True)
    none = tabulate_reviews([])

    def read(name: str, path: Path) -> pd.DataFrame:
        if name == "archive.tar":
            return read_reviews(ReviewsArchiveDataset(filepath=str(path), max_megabytes=2).load(), none, imdb)
        if name.startswith("own"):
            return read_reviews(DocumentsDataset(path=str(path)).load(), none, own)
        (batch,) = IncomingBatchesDataset(path=str(folder), settle_seconds=0, max_files=MAX_FILES).load()
        return parse_review_files(batch.open(MAX_BYTES), imdb, MAX_BYTES, 5000).reviews

    def take(content: bytes) -> None:
        name = NAMES[content[0] % len(NAMES)] if content else NAMES[0]
        body = content[1:]
        repair = {"repaired.tar": repair_tar, "repaired.zip": repair_zip}.get(name)
        path = folder / name
        path.write_bytes(repair(body) if repair else body)
        try:
            reviews = read(name, path)
        except (ValueError, DatasetError) as error:
            check_message(str(error))
        else:
            # What is read can be kept.
            "".join(
                [*reviews["review_id"], *reviews["text"].dropna(), *reviews["movie_id"].dropna()]
            ).encode()
        finally:
            path.unlink()

    return take


def check_message(message: str) -> None:
    """See that a message says something, and may go to a terminal."""
    assert message.strip()
    assert message.replace("\n", "").isprintable(), repr(message)


TARGET = Target(make_seeds, prepare)
