"""Every source of the archive, and all that can be wrong with it; downloads come from a real local server."""

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import ReviewsArchiveDataset

FILES = {"aclImdb/train/pos/0_9.txt": b"Good.", "aclImdb/train/neg/0_1.txt": b"Bad."}
MakeArchive = Callable[..., Path]


def read(dataset: ReviewsArchiveDataset) -> dict[str, bytes]:
    return {member.name: member.content for member in dataset.load()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class FlakyHandler(SimpleHTTPRequestHandler):
    """Serves files, after a number of answers 503."""

    failures = 0
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        if type(self).failures > 0:
            type(self).failures -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def handler() -> type[FlakyHandler]:
    return type("Handler", (FlakyHandler,), {})


@pytest.fixture
def server(tmp_path: Path, handler: type[FlakyHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_load_reads_the_files_of_the_archive(make_archive: MakeArchive) -> None:
    assert read(ReviewsArchiveDataset(filepath=str(make_archive(FILES)))) == FILES


def test_load_writes_nothing_to_disk(make_archive: MakeArchive, tmp_path: Path) -> None:
    path = make_archive(FILES)

    read(ReviewsArchiveDataset(filepath=str(path)))

    assert list(tmp_path.iterdir()) == [path]


def test_a_local_file_comes_first(make_archive: MakeArchive, tmp_path: Path) -> None:
    local = make_archive({"local": b"1"}, name="local.tar.gz")
    dataset = ReviewsArchiveDataset(filepath=str(make_archive(FILES)), local_file=str(local))

    assert read(dataset) == {"local": b"1"}


def test_a_local_file_that_is_absent_is_never_downloaded(make_archive: MakeArchive, tmp_path: Path) -> None:
    dataset = ReviewsArchiveDataset(
        filepath=str(make_archive(FILES)), local_file=str(tmp_path / "absent.tar.gz")
    )

    with pytest.raises(DatasetError, match=r"no file .*absent.tar.gz, which MINIGPT_IMDB_ARCHIVE names"):
        dataset.load()


def test_digest_is_that_of_the_archive_that_would_be_read(make_archive: MakeArchive, tmp_path: Path) -> None:
    here, local = make_archive(FILES), make_archive({"aclImdb/train/pos/1_9.txt": b"New."}, "local.tar.gz")
    moved = here.rename(tmp_path / "moved.tar.gz")

    def digest(filepath: Path, **settings: str) -> str:
        return ReviewsArchiveDataset(filepath=str(filepath), **settings).digest()

    assert digest(moved) == sha256(moved)[:16]
    assert digest(moved, local_file=str(local)) == sha256(local)[:16]
    assert digest(here, url="http://127.0.0.1:9", sha256=sha256(moved)) == digest(moved)
    assert digest(here) == digest(moved, local_file=str(here)) == "absent"


def test_links_and_folders_are_passed_over_and_links_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "reviews.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("folder", tarfile.DIRTYPE),
            ("link", tarfile.SYMTYPE),
            ("device", tarfile.CHRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("file")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"ok"))

    assert read(ReviewsArchiveDataset(filepath=str(path))) == {"file": b"ok"}
    assert "2 links or devices in reviews.tar were passed over" in caplog.messages


@pytest.mark.parametrize("content", [b"", b"not an archive at all" * 100])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reviews.tar.gz"
    path.write_bytes(content)

    with pytest.raises(DatasetError, match=r"reviews.tar.gz can't be read as a tar archive"):
        read(ReviewsArchiveDataset(filepath=str(path)))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("is_gzipped", [True, False])
def test_an_archive_that_was_cut_off_is_named(
    make_archive: MakeArchive, share: float, is_gzipped: bool
) -> None:
    path = make_archive({f"file{number}": bytes(range(256)) * 2 for number in range(40)})
    content = path.read_bytes() if is_gzipped else gzip.decompress(path.read_bytes())
    assert len(content) % 512 == 0 or is_gzipped  # so that some cuts fall between two files
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(DatasetError, match="may be cut off"):
        read(ReviewsArchiveDataset(filepath=str(path)))


def test_a_local_checksum_is_checked(make_archive: MakeArchive) -> None:
    path = make_archive(FILES)

    assert read(ReviewsArchiveDataset(filepath=str(path), local_sha256=sha256(path))) == FILES
    with pytest.raises(DatasetError, match=rf"has the SHA-256 {sha256(path)}, expected 00"):
        ReviewsArchiveDataset(filepath=str(path), local_sha256="00").load()


def test_no_archive_and_no_url_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no archive .*absent.tar.gz, and the catalog names no url"):
        ReviewsArchiveDataset(filepath=str(tmp_path / "absent.tar.gz")).load()


def test_a_download_without_checksum_is_refused() -> None:
    with pytest.raises(DatasetError, match="has no sha256"):
        ReviewsArchiveDataset(filepath="x.tar.gz", url="http://127.0.0.1/x.tar.gz")


def test_a_download_is_kept_and_used_again(
    make_archive: MakeArchive, tmp_path: Path, server: str, handler: type[FlakyHandler]
) -> None:
    source = make_archive(FILES)
    target = tmp_path / "kept" / "reviews.tar.gz"
    dataset = ReviewsArchiveDataset(
        filepath=str(target), url=f"{server}/{source.name}", sha256=sha256(source)
    )

    assert read(dataset) == FILES
    assert read(dataset) == FILES
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert handler.requests == 1


def test_a_download_is_tried_again(
    make_archive: MakeArchive,
    tmp_path: Path,
    server: str,
    handler: type[FlakyHandler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    handler.failures = 2
    source = make_archive(FILES)
    target = tmp_path / "kept" / "reviews.tar.gz"

    dataset = ReviewsArchiveDataset(
        filepath=str(target), url=f"{server}/{source.name}", sha256=sha256(source)
    )

    assert read(dataset) == FILES
    assert handler.requests == 3


def test_a_download_with_a_wrong_checksum_leaves_no_file(
    make_archive: MakeArchive, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    source = make_archive(FILES)
    target = tmp_path / "kept" / "reviews.tar.gz"
    dataset = ReviewsArchiveDataset(filepath=str(target), url=f"{server}/{source.name}", sha256="0" * 64)

    with pytest.raises(DatasetError, match=r"could not be downloaded .*Put the archive there by hand"):
        dataset.load()

    assert list(target.parent.iterdir()) == []
