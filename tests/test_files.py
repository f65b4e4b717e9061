"""Files are old and whole, or new and whole, also where Ctrl-C is pressed while they are replaced."""

import sys
from pathlib import Path

import pytest

from minigpt_pipeline import files
from minigpt_pipeline.files import remove, replacing, write_through


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/old.html").touch()
    return tmp_path / "pages"


def replace_folder(folder: Path) -> None:
    with replacing(folder) as partial:
        partial.mkdir()
        (partial / "new.html").touch()


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_is_replaced_as_a_whole(folder: Path) -> None:
    replace_folder(folder)

    assert list_files(folder.parent) == ["pages", "pages/new.html"]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_a_folder_is_replaced_in_one_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "replace", lambda *_: pytest.fail("two steps"))

    replace_folder(folder)

    assert list_files(folder.parent) == ["pages", "pages/new.html"]


@pytest.mark.parametrize("renames_before", [0, 1])
@pytest.mark.parametrize("is_done", [False, True])
def test_an_interrupt_between_two_renames_leaves_a_whole_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, renames_before: int, is_done: bool
) -> None:
    rename, renamed = Path.replace, []

    def rename_or_interrupt(path: Path, target: Path) -> None:
        renamed.append(target)
        is_pressed = len(renamed) == renames_before + 1
        if is_done or not is_pressed:
            rename(path, target)
        if is_pressed:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "replace", rename_or_interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(folder)

    assert list_files(folder) == (["new.html"] if renames_before and is_done else ["old.html"])


def test_all_of_a_folder_is_waited_for_but_no_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link").symlink_to("nowhere")
    synced: list[str] = []
    monkeypatch.setattr(
        "minigpt_pipeline.files.os.fsync",
        lambda opened: synced.append(str(Path(f"/proc/self/fd/{opened}").readlink())),
    )

    write_through(folder)

    assert synced == [str(folder / "old.html"), str(folder)]


def test_what_is_removed_is_gone_and_its_links_do_not_reach_out(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    for name in ("link", "nothing"):
        remove(folder.parent / name)

    assert list_files(folder.parent) == ["pages", "pages/old.html"]
    remove(folder)
    assert list_files(folder.parent) == []
