"""The archives that tar programs write, read as tarfile reads them."""

import io
import tarfile
import threading
from collections.abc import Callable

import pytest

from minigpt_pipeline.datasets import tar_stream
from minigpt_pipeline.datasets.tar_stream import ReadAhead, stream_files

FILES = {
    "aclImdb/README": b"Read me",
    "aclImdb/train/pos/0_9.txt": b"Good.",
    "empty.txt": b"",
    "a_block.txt": b"x" * 512,
    "large.txt": bytes(range(256)) * 40,
    "Très bon.txt": b"Non-ASCII name",
}
MakeTar = Callable[..., bytes]


@pytest.fixture
def make_tar() -> MakeTar:
    """Write a tar archive with a folder, and a link and a long name where they are wanted."""

    def make(tar_format: int = tarfile.USTAR_FORMAT, *, unusual: bool = False) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
            folder = tarfile.TarInfo("aclImdb")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for number, (name, content) in enumerate(FILES.items()):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                if unusual and number == 2:
                    link = tarfile.TarInfo("link")
                    link.type, link.linkname = tarfile.SYMTYPE, "a_block.txt"
                    archive.addfile(link)
                    member.name = f"{'deep/' * 30}{name}"
                archive.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    return make


def read(content: bytes) -> list[tuple[str, bytes]]:
    return [(member.name, member.content) for member in stream_files(io.BytesIO(content))]


def read_with_tarfile(content: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive if member.isreg()]  # type: ignore[union-attr]


@pytest.mark.parametrize("unusual", [False, True])
@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_stream_files_agrees_with_tarfile(make_tar: MakeTar, tar_format: int, unusual: bool) -> None:
    content = make_tar(tar_format, unusual=unusual)

    assert read(content) == read_with_tarfile(content)
    assert len(read(content)) == len(FILES)


def test_stream_files_reads_plain_files_itself(make_tar: MakeTar, monkeypatch: pytest.MonkeyPatch) -> None:
    content = make_tar()
    monkeypatch.setattr(tarfile.TarFile, "extractfile", None)

    assert dict(read(content)) == FILES


@pytest.mark.parametrize("position", [0, 124, 148, 156])
def test_stream_files_notices_a_damaged_header(make_tar: MakeTar, position: int) -> None:
    content = bytearray(make_tar())
    content[512 + position] ^= 0x55  # of the first file; a folder comes before it

    with pytest.raises(tarfile.ReadError):
        read(bytes(content))


def test_stream_files_notices_a_file_that_is_cut_off(make_tar: MakeTar) -> None:
    content = make_tar()

    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        read(content[: content.index(b"Read me") + 3])


def test_stream_files_takes_an_archive_without_end_blocks(make_tar: MakeTar) -> None:
    content = make_tar().rstrip(b"\0")
    content += bytes(-len(content) % 512)

    assert dict(read(content)) == FILES


@pytest.mark.parametrize("content", [b"", b"no archive", b"no archive " * 100])
def test_stream_files_refuses_what_is_no_archive(content: bytes) -> None:
    with pytest.raises(tarfile.ReadError):
        read(content)


class SlowStream(io.BytesIO):
    """Remembers which thread has read."""

    reader: int | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.reader = threading.get_ident()
        return super().read(size)


def test_read_ahead_gives_the_same_bytes_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_stream, "CHUNK_SIZE", 100)
    content = bytes(range(256)) * 10
    stream = SlowStream(content)

    with io.BufferedReader(ReadAhead(stream), 64) as ahead:
        assert b"".join(iter(lambda: ahead.read(37), b"")) == content
    assert stream.reader not in (None, threading.get_ident())


def test_read_ahead_raises_what_the_stream_raises() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise EOFError("cut off")

    with io.BufferedReader(ReadAhead(Broken())) as ahead, pytest.raises(EOFError, match="cut off"):
        ahead.read(1)


def test_read_ahead_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with ReadAhead(io.BytesIO(b"never read")):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
