from pathlib import Path

import pytest
from kedro.io import DatasetError

from minigpt_pipeline.datasets import DocumentsDataset


def read(path: Path) -> dict[str, bytes]:
    return {member.name: member.content for member in DocumentsDataset(path=str(path)).load()}


def save(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_load_reads_the_texts_of_a_folder_by_their_names(tmp_path: Path) -> None:
    files = {"b.txt": b"2", "a/one.MD": b"1", "t.csv": b"text\n3\n", "photo.jpg": b"\xff", ".git/x.txt": b"4"}
    folder = save(tmp_path, files)
    (folder / "link.txt").symlink_to(folder / "b.txt")

    assert list(read(folder).items()) == [("a/one.MD", b"1"), ("b.txt", b"2"), ("t.csv", b"text\n3\n")]


def test_load_reads_one_file(tmp_path: Path) -> None:
    assert read(save(tmp_path, {"notes/a.txt": b"1"}) / "notes" / "a.txt") == {"a.txt": b"1"}


def test_a_folder_whose_own_name_is_hidden_is_read(tmp_path: Path) -> None:
    assert read(save(tmp_path, {".notes/a.txt": b"1"}) / ".notes") == {"a.txt": b"1"}


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path) -> None:
    save(tmp_path, {"a.txt": b"1", "b.txt": b"2"})
    members = DocumentsDataset(path=str(tmp_path)).load()
    next(members)
    (tmp_path / "b.txt").write_bytes(b"3")

    assert next(members).content == b"3"


@pytest.mark.parametrize(
    ("files", "differs"),
    [
        ({}, False),
        ({"photo.jpg": b"2", ".git/x.txt": b"3"}, False),
        ({"a.txt": b"2"}, True),
        ({"b.txt": b"1"}, True),
    ],
    ids=["nothing", "what is not read", "content", "a further text"],
)
def test_digest_tells_texts_from_others(tmp_path: Path, files: dict[str, bytes], differs: bool) -> None:
    here, there = (save(tmp_path / name, {"a.txt": b"1", "photo.jpg": b"1"}) for name in ("here", "there"))
    save(there, files)

    digests = [DocumentsDataset(path=str(path)).digest() for path in (here, there)]

    assert (digests[0] != digests[1]) is differs


def test_digest_of_a_renamed_text_is_another_one(tmp_path: Path) -> None:
    folders = [save(tmp_path / name, {f"{name}.txt": b"1"}) for name in ("a", "b")]

    first, second = (DocumentsDataset(path=str(folder)).digest() for folder in folders)

    assert first != second


@pytest.mark.parametrize("path", [None, "nowhere"])
def test_digest_of_a_place_without_texts_says_nothing_of_it(path: str | None, tmp_path: Path) -> None:
    """It is the run that complains, not the plan."""
    empty = save(tmp_path / "empty", {"photo.jpg": b""})

    digest = DocumentsDataset(path=path and str(tmp_path / path)).digest()

    assert digest == DocumentsDataset(path=str(empty)).digest()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "Nobody has said where the texts are: kedro run --env own_text --params texts=FOLDER"),
        ("nowhere", "There is no file or folder .*nowhere, which `texts` names"),
        ("photos", r"photos has no texts, expected files that end in \.txt, \.md"),
        ("photos/a.jpg", r"a\.jpg has no texts, expected files that end in"),
    ],
)
def test_a_place_without_texts_is_named(path: str | None, message: str, tmp_path: Path) -> None:
    save(tmp_path, {"photos/a.jpg": b"\xff"})

    with pytest.raises(DatasetError, match=message):
        list(DocumentsDataset(path=path and str(tmp_path / path)).load())


def test_save_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a source and can't be saved"):
        DocumentsDataset(path=str(tmp_path)).save("anything")  # type: ignore[arg-type]
