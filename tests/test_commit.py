import subprocess
from pathlib import Path

import pytest

from minigpt_pipeline.commit import RESULTS, Commit, read_commit, shorten_commit

HASH = "0123456789" * 4


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a file of code and one of what benchmarks write."""
    git(tmp_path, "init", "--quiet")
    for name in ("code.py", *(f"{place}/old" if "." not in place else place for place in RESULTS)):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("old")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "all")
    return tmp_path


def test_what_benchmarks_write_makes_no_code_dirty(checkout: Path) -> None:
    for name in ("benchmarks/results/old", "benchmarks/results/new", "docs/images/new", "docs/samples.md"):
        (checkout / name).write_text("new")

    assert read_commit(checkout) == Commit(git(checkout, "rev-parse", "HEAD").strip(), dirty=False)


@pytest.mark.parametrize("name", ["code.py", "new.py", "benchmarks/new.py", "docs/new.md"])
def test_all_else_does(checkout: Path, name: str) -> None:
    (checkout / name).write_text("new")

    assert str(read_commit(checkout)) == f"{git(checkout, 'rev-parse', 'HEAD').strip()}-dirty"


def test_outside_a_checkout_no_commit_is_known(tmp_path: Path) -> None:
    assert read_commit(tmp_path) == Commit(None, None)
    assert str(read_commit(tmp_path)) == "unknown"


def test_without_git_no_commit_is_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert read_commit(checkout) == Commit(None, None)


@pytest.mark.parametrize(
    ("commit", "short"),
    [(HASH, "0123456"), (f"{HASH}-dirty", "0123456-dirty"), ("unknown", "unknown"), ("", "")],
)
def test_a_short_commit_is_dirty_all_the_same(commit: str, short: str) -> None:
    assert shorten_commit(commit) == short
