"""Projects in which an earlier version of the project has worked; see make_fixture.py."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import tell_store
from tests.upgrades.make_fixture import CODE, PROJECT, WRITTEN, place_of, read_commits

VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in WRITTEN.glob("*.tar.xz"))


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a folder with what a version has written; for reading alone."""
    known: dict[str, Path] = {}

    def unpack(version: str) -> Path:
        if version not in known:
            known[version] = tmp_path_factory.mktemp(f"written-{version}")
            extract(version, known[version])
        return known[version]

    return unpack


@pytest.fixture
def upgrade(make_project: Callable[[str], Path]) -> Callable[[str], Path]:
    """Return a project of today in which a version has worked, as behind `git pull`."""

    def make(version: str) -> Path:
        project = make_project(f"upgraded-{version}")
        extract(version, project)
        restore_code(version, project)
        tell_store(place_of(version), project)
        return project

    return make


def extract(version: str, folder: Path) -> None:
    """Unpack a fixture."""
    with tarfile.open(WRITTEN / f"{version}.tar.xz") as archive:
        extract_all(archive, folder)


def extract_all(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack an archive, with the filter of Python 3.11.4 and later."""
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    archive.extractall(folder)


def restore_code(version: str, project: Path) -> None:
    """Put the code beside the logged models, which is that of the commit, and so is not in the fixture twice."""
    commit = read_commits()[version]
    command = ["git", "cat-file", "-e", commit]
    if subprocess.run(command, cwd=PROJECT, capture_output=True, check=False).returncode:
        pytest.skip(f"the history of this checkout does not reach {commit}")
    command = ["git", "archive", commit, "src/minigpt_pipeline"]
    packed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        extract_all(archive, project / ".commit")
    for line in (project / CODE).read_text().splitlines():
        (project / line).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project / ".commit/src" / line.partition("/code/")[2], project / line)
