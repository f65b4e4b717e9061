import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import IncomingBatchesDataset
from minigpt_pipeline.datasets import incoming_batches_dataset as module
from minigpt_pipeline.text.incoming_batch import IncomingBatch, UnreadableBatchError

MakeArchive = Callable[..., Path]
MAX_BYTES = 1_000_000


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


def save(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def load(folder: Path) -> dict[str, IncomingBatch]:
    return {batch.name: batch for batch in IncomingBatchesDataset(path=str(folder)).load()}


def read(batch: IncomingBatch, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
    return {member.name: member.content for member in batch.open(max_bytes)}


def test_each_file_and_folder_is_a_batch(tmp_path: Path) -> None:
    files = {"a.csv": b"text\nx\n", "more/b.txt": b"y", "more/deep/c.txt": b"z", "more/photo.jpg": b"\xff"}
    batches = load(save(tmp_path, files))

    assert batches.keys() == {"a.csv", "more"}
    assert read(batches["a.csv"]) == {"a.csv": b"text\nx\n"}
    assert read(batches["more"]) == {"more/b.txt": b"y", "more/deep/c.txt": b"z", "more/photo.jpg": b""}
    assert (batches["more"].size, batches["more"].path) == (3, tmp_path / "more")


def test_what_is_no_batch_is_passed_over(tmp_path: Path) -> None:
    names = (".gitkeep", ".hidden/a.csv", "README", "readme.md", "a.csv.part", "b.zip.crdownload")
    save(tmp_path, dict.fromkeys(names, b"text\nx\n"))
    (tmp_path / "link.csv").symlink_to(tmp_path / "README")
    (tmp_path / "empty").mkdir()

    assert load(tmp_path) == {}
    assert load(tmp_path / "nowhere") == {}


def test_a_folder_gives_neither_hidden_files_nor_links(tmp_path: Path) -> None:
    save(tmp_path, {"outside.txt": b"secret", "in/more/a.txt": b"1", "in/more/.b.txt": b"2"})
    (tmp_path / "in/more/link.txt").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "in/more/folder").symlink_to(tmp_path)

    assert read(load(tmp_path / "in")["more"]) == {"more/a.txt": b"1"}


def test_the_id_is_that_of_the_names_and_contents(tmp_path: Path) -> None:
    same = [save(tmp_path / place, {"b/x.csv": b"1", "b/y.csv": b"2"}) for place in "12"]
    other = save(tmp_path / "3", {"b/x.csv": b"1", "b/y.csv": b"3"})
    renamed = save(tmp_path / "4", {"b/x.csv": b"1", "b/z.csv": b"2"})
    ids = [load(folder)["b"].batch_id for folder in (*same, other, renamed)]

    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in ids)


def test_what_changes_while_it_is_looked_at_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, {"growing.csv": b"text\nx\n", "more/a.txt": b"x", "whole.csv": b"text\ny\n"})

    def go_on_writing(seconds: float) -> None:
        assert seconds == 1.0
        save(tmp_path, {"growing.csv": b"text\nx\nz\n", "more/b.txt": b"y"})

    monkeypatch.setattr(module.time, "sleep", go_on_writing)
    with caplog.at_level("INFO"):
        assert load(tmp_path).keys() == {"whole.csv"}

    assert [message for message in caplog.messages if "growing.csv is being written: it stays" in message]
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    assert load(tmp_path).keys() == {"growing.csv", "more", "whole.csv"}


def test_what_is_old_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, {"a.csv": b"text\nx\n"})
    monkeypatch.setattr(module.time, "time", lambda: (tmp_path / "a.csv").stat().st_ctime + 61)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: pytest.fail("it waits"))

    assert load(tmp_path).keys() == {"a.csv"}


def test_what_can_t_be_read_stays_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, {"a.csv": b"text\nx\n"})

    def refuse(entry: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "find_digest", refuse)

    assert load(tmp_path) == {}
    assert "a.csv can't be read (Permission denied): it stays where it is" in caplog.text


@pytest.mark.parametrize("name", ["b.tar.gz", "b.tgz", "b.tar", "b.zip"])
def test_archives_are_read_in_memory(name: str, tmp_path: Path, make_archive: MakeArchive) -> None:
    files = {"x/a.csv": b"text\nx\n", "../../b.csv": b"text\ny\n", "c.txt": b"z"}
    folder = tmp_path / "in"
    folder.mkdir()
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
    else:
        with tarfile.open(folder / name, "w" if name.endswith(".tar") else "w:gz") as archive:
            for file, content in files.items():
                member = tarfile.TarInfo(file)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    found = read(load(folder)[name])

    assert found.keys() == files.keys()
    assert (found["x/a.csv"], found["c.txt"]) == (b"text\nx\n", b"z")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", name]


@pytest.mark.parametrize("kind", ["tar", "tar of many", "zip", "zip of many", "folder"])
def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(kind: str, tmp_path: Path) -> None:
    folder, size = tmp_path / "in", 50_000_000 if "many" not in kind else 100_000
    folder.mkdir()
    names = [f"{number}.csv" for number in range(20 if "many" in kind else 1)]
    if kind.startswith("tar"):
        with tarfile.open(folder / "bomb.tar.gz", "w:gz") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = size
                archive.addfile(member, io.BytesIO(bytes(size)))
    elif kind.startswith("zip"):
        with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, bytes(size))
    else:
        save(folder, {"bomb/a.csv": bytes(MAX_BYTES), "bomb/b.csv": b"x"})
    (batch,) = load(folder).values()
    sizes: list[int] = []

    with pytest.raises(UnreadableBatchError, match=r"more than 1 MB"):
        sizes.extend(len(member.content) for member in batch.open(MAX_BYTES))

    assert sum(sizes) <= MAX_BYTES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tar.gz", b"\x1f\x8bnothing", "a.tar.gz can't be read as a tar archive"),
        ("a.tar", b"nothing", "a.tar can't be read as a tar archive"),
        ("a.zip", b"nothing", "not a zip file"),
        ("a.docx", b"PK", "a.docx is neither an archive (.tar, .tar.gz, .tgz, .zip) nor a file of texts (.txt"),
    ],
)  # fmt: skip
def test_a_broken_batch_says_what_is_wrong_when_it_is_read(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    batch = load(save(tmp_path, {name: content}))[name]

    with pytest.raises(UnreadableBatchError) as refused:
        list(batch.open(MAX_BYTES))

    assert message in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_an_encrypted_archive_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", b"text\nx\n")
    content = bytearray(path.read_bytes())
    for signature, flags in (
        (b"PK\x03\x04", 6),
        (b"PK\x01\x02", 8),
    ):  # APPNOTE 4.3.7 and 4.3.12; bit 0: encrypted
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)

    with pytest.raises(UnreadableBatchError, match="encrypted"):
        list(load(tmp_path)["a.zip"].open(MAX_BYTES))


def test_new_data_is_a_source(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is where new data is dropped"):
        IncomingBatchesDataset(path=str(tmp_path)).save([])
