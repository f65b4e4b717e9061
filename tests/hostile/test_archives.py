"""Archives that somebody has made to take the memory, the time or the files of whoever opens them."""

import gzip
import io
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets.incoming_batches_dataset import IncomingBatchesDataset
from minigpt_pipeline.datasets.reviews_archive_dataset import ReviewsArchiveDataset, stream_members
from minigpt_pipeline.parameters import IngestionParameters
from minigpt_pipeline.text.imdb import parse_reviews
from minigpt_pipeline.text.incoming_batch import UnreadableBatchError
from minigpt_pipeline.text.review_files import parse_review_files

MEGABYTE = 1_000_000
REVIEW = "aclImdb/train/pos/0_9.txt"
GIGABYTES_OF_ZEROS = 10


def zeros(gigabytes: int) -> bytes:
    """Return gzip's form of zeros: ten megabytes of them, again and again, which gzip reads as one stream."""
    return gzip.compress(bytes(10 * MEGABYTE), mtime=0) * (100 * gigabytes)


def head(name: str, size: int, kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT)


def tar(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return buffer.getvalue()


def of(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def sparse() -> bytes:
    headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**12), "GNU.sparse.numblocks": "1"}
    return tar(of(REVIEW, pax_headers=headers))


def zip_with(entries: int, file_size: int, body: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of which all entries are one, which says that it has `file_size` bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), body, method)
    content = bytearray(buffer.getvalue())
    start = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, 22, file_size)
    struct.pack_into("<I", content, start + 24, file_size)
    entry = bytes(content[start : content.index(b"PK\x05\x06")])
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, entries, entries, len(entry) * entries, start, 0)
    return bytes(content[:start]) + entry * entries + end


def make_bombs(folder: Path) -> None:
    """Make files of some megabytes at most that say, or unpack to, more than any machine has."""
    bombs = {
        "zeros.tar.gz": zeros(GIGABYTES_OF_ZEROS),
        "declared.tar.gz": gzip.compress(head(REVIEW, 10**12)) + zeros(1),
        "names.tar.gz": gzip.compress(head("x", 10**12, tarfile.XHDTYPE)) + zeros(1),
        "negative.tar": head(REVIEW, -(10**6)) + bytes(1024),
        "nested.tar": head("././@LongLink", 0, tarfile.GNUTYPE_LONGNAME) * 5000 + bytes(1024),
        "sparse.tar": sparse(),
        "overlapping.zip": zip_with(5000, 10 * MEGABYTE, bytes(10 * MEGABYTE)),
        "lying.zip": zip_with(1, 10, bytes(200 * MEGABYTE)),
        "bzip2.zip": zip_with(1, 10, bytes(200 * MEGABYTE), zipfile.ZIP_BZIP2),
    }
    for name, content in bombs.items():
        (folder / name).write_bytes(content)
    pd.DataFrame({"text": ["a review " * 1000] * 20_000}).to_parquet(folder / "repeated.parquet")  # 180 MB


@pytest.mark.slow
def test_bombs_are_refused_in_bounded_memory_and_time(tmp_path: Path, run_apart: Callable[..., dict]) -> None:
    make_bombs(tmp_path)
    packed = sum(path.stat().st_size for path in tmp_path.iterdir())

    found = run_apart(
        """
        import sys
        from minigpt_pipeline.datasets.incoming_batches_dataset import IncomingBatchesDataset
        from minigpt_pipeline.parameters import IngestionParameters
        from minigpt_pipeline.text.review_files import parse_review_files
        batches = IncomingBatchesDataset(path=sys.argv[1], settle_seconds=0).load()
        before, started, told = peak(), time.monotonic(), {}
        for batch in batches:
            try:
                parse_review_files(batch.open(50_000_000), IngestionParameters(include_unlabelled=False), 50_000_000)
            except ValueError as error:
                told[batch.name] = str(error)
        report(megabytes=peak() - before, seconds=time.monotonic() - started, told=told)
        """,
        str(tmp_path),
    )

    told = found["told"]
    assert told.keys() == {path.name for path in tmp_path.iterdir()}, told
    for name in ("declared.tar.gz", "names.tar.gz", "sparse.tar", "zeros.tar.gz"):
        assert "unpacks to more than 50 MB" in told[name], told
    # Some builds of Python look for such entries themselves.
    assert re.search("unpacks to more than 50 MB|Overlapped entries", told["overlapping.zip"]), told
    assert "has more than 50 MB, unpacked" in told["repeated.parquet"]
    assert "is compressed in a way (number 12) that is not read" in told["bzip2.zip"]
    assert packed < 25 * MEGABYTE
    assert found["megabytes"] < 250  # five times what a batch may unpack to; 129 were measured
    assert found["seconds"] < 60


def test_the_archive_itself_is_bounded_too(tmp_path: Path) -> None:
    path = tmp_path / "reviews.tar.gz"
    path.write_bytes(zeros(1))

    with pytest.raises(
        DatasetError, match=r"unpacks to more than 20 MB: .* raise max_megabytes in conf/base"
    ):
        list(ReviewsArchiveDataset(filepath=str(path), max_megabytes=20).load())


def test_links_devices_and_pipes_in_an_archive_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "reviews.tar"
    kinds = {
        "link": (tarfile.SYMTYPE, "/etc/passwd"),
        "hard": (tarfile.LNKTYPE, "../../../../etc/passwd"),
        "zero": (tarfile.CHRTYPE, ""),
        "disk": (tarfile.BLKTYPE, ""),
        "pipe": (tarfile.FIFOTYPE, ""),
    }
    members = [
        of(f"aclImdb/train/pos/{name}.txt", kind, linkname=target) for name, (kind, target) in kinds.items()
    ]
    path.write_bytes(tar(*members, of(REVIEW, size=3)))

    assert [member.name for member in stream_members(path)] == [REVIEW]
    assert "5 links or devices in reviews.tar were passed over" in caplog.text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../escape.txt", "../../escape.txt"),
        ("/etc/cron.d/x.txt", "etc/cron.d/x.txt"),
        ("a\x1b[2Jb\n\x07.txt", "a\\x1b[2Jb\\n\\x07.txt"),
        ("\u202etxt.exe.txt", "\\u202etxt.exe.txt"),
        ("caf\udce9.txt", "caf\\udce9.txt"),
        ("d/" * 10_000 + "deep.txt", "d/" * 10_000 + "deep.txt"),
    ],
    ids=["above", "absolute", "terminal", "right to left", "not UTF-8", "deep"],
)
def test_names_are_names_alone(name: str, shown: str, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "batch.tar").write_bytes(tar(of(name, size=3), of("b.txt", size=3)))

    (batch,) = IncomingBatchesDataset(path=str(folder), settle_seconds=0).load()
    names = [member.name for member in batch.open(MEGABYTE)]

    assert names[0].removeprefix("/") == shown
    assert "".join(names).isprintable()
    assert [path.name for path in tmp_path.rglob("*")] == ["incoming", "batch.tar"]


@pytest.mark.parametrize("name", ["7_999.txt", "7_1234567890123.txt", "٧_٩.txt", f"{'9' * 5000}_9.txt"])
def test_a_name_with_impossible_numbers_is_no_review(name: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.tar"
    path.write_bytes(tar(of(REVIEW, size=3), of(f"aclImdb/train/pos/{name}", size=3)))

    assert parse_reviews(stream_members(path), include_unlabelled=True)["review_id"].tolist() == [
        "train/pos/0"
    ]


@pytest.mark.parametrize("damage", ["cut", "checksum", "encrypted", "method"])
def test_a_damaged_zip_is_told(damage: str, tmp_path: Path) -> None:
    content = bytearray(zip_with(1, 5, b"A film"[:5]))
    start = content.index(b"PK\x01\x02")
    if damage == "cut":
        content = content[:-30]
    elif damage == "checksum":
        struct.pack_into("<I", content, start + 16, zlib.crc32(b"other"))
    elif damage == "encrypted":
        struct.pack_into("<H", content, start + 8, 1)
        struct.pack_into("<H", content, 6, 1)
    else:
        struct.pack_into("<H", content, start + 10, 99)
    (tmp_path / "a.zip").write_bytes(content)
    (batch,) = IncomingBatchesDataset(path=str(tmp_path), settle_seconds=0).load()

    with pytest.raises(UnreadableBatchError):
        list(batch.open(MEGABYTE))


def test_an_archive_of_too_many_files_is_refused_before_they_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_with(2000, 1, b"x"))
    (tmp_path / "b.tar").write_bytes(head("x.txt", 0) * 2000 + bytes(1024))

    for batch in IncomingBatchesDataset(path=str(tmp_path), settle_seconds=0, max_files=1000).load():
        with pytest.raises(UnreadableBatchError, match="has more than 1,000 files"):
            list(batch.open(10 * MEGABYTE))


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_million_tiny_files(kind: str, tmp_path: Path, run_apart: Callable[..., dict]) -> None:
    path = tmp_path / f"many.{kind}"
    if kind == "tar":
        with path.open("wb") as file:
            for number in range(1_000_000):
                file.write(head(f"{number}.txt", 1) + b"x".ljust(512, b"\0"))
            file.write(bytes(1024))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(1_000_000):
                archive.writestr(zipfile.ZipInfo(f"{number}.txt"), b"x")

    for max_files, most in ((200_000, 600), (None, 3000)):
        found = run_apart(
            """
            import sys
            from minigpt_pipeline.datasets.incoming_batches_dataset import IncomingBatchesDataset
            from minigpt_pipeline.parameters import IngestionParameters
            from minigpt_pipeline.text.review_files import parse_review_files
            most = None if sys.argv[2] == "None" else int(sys.argv[2])
            (batch,) = IncomingBatchesDataset(path=sys.argv[1], settle_seconds=0, max_files=most).load()
            before, started, told = peak(), time.monotonic(), ""
            try:
                files = batch.open(2_000_000_000)
                read = len(parse_review_files(files, IngestionParameters(include_unlabelled=False), 10**9).reviews)
            except ValueError as error:
                read, told = 0, str(error)
            report(megabytes=peak() - before, seconds=time.monotonic() - started, read=read, told=told)
            """,
            str(tmp_path),
            str(max_files),
            seconds=900,
        )
        assert found["megabytes"] < most, found
        assert found["seconds"] < 300
        assert found["read"] == (0 if max_files else 1_000_000), found["told"]


def test_a_whole_archive_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar(of(REVIEW, size=3), of("aclImdb/test/neg/1_2.txt", size=4)))
    (batch,) = IncomingBatchesDataset(
        path=str(tmp_path), settle_seconds=0, max_files=10, max_megabytes=1
    ).load()

    reviews = parse_review_files(
        batch.open(MEGABYTE), IngestionParameters(include_unlabelled=False), MEGABYTE
    ).reviews

    assert reviews["review_id"].tolist() == ["test/neg/1", "train/pos/0"]
