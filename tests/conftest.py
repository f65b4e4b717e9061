"""Reviews written by hand, and the environment that every test shares."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PROJECT = Path(__file__).parents[1]

TEXTS = (
    "A fine film.<br /><br />Don't miss it!",
    "The plot is thin, but the cast carries it.",
    "I laughed, I cried; 10/10.",
    "Slow, dull and far too long.",
    "The best scene comes last.",
    "Nobody in it can act, and the music is loud.",
)


class ListLog:
    """A `TrainingLog` that remembers."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.samples: list[dict[str, Any]] = []
        self.formers: list[str] = []

    @property
    def name(self) -> str:
        return "a list"

    def log(self, step: int, metrics: dict[str, float]) -> None:
        self.metrics.append((step, metrics))

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        self.samples += samples

    def take_over(
        self,
        former: str,
        measurements: Sequence[tuple[int, dict[str, float]]],
        samples: Sequence[dict[str, Any]],
    ) -> None:
        self.formers.append(former)
        self.metrics += measurements
        self.samples += samples

    def values(self, name: str) -> list[float]:
        return [metrics[name] for _, metrics in self.metrics if name in metrics]


@pytest.fixture
def training_log() -> ListLog:
    return ListLog()


@pytest.fixture
def reviews() -> pd.DataFrame:
    """Six reviews of three films, as `text.imdb.parse_reviews` gives them."""
    labels = ["neg", "neg", "neg", "pos", "pos", "pos"]
    return pd.DataFrame(
        {
            "review_id": [f"train/{label}/{number}" for number, label in enumerate(labels)],
            "split": "train",
            "label": labels,
            "rating": pd.array([1, 2, 3, 8, 9, 10], dtype="Int8"),
            "movie_id": ["tt0000001", "tt0000002", "tt0000003"] * 2,
            "text": [TEXTS[3], TEXTS[5], TEXTS[1], TEXTS[0], TEXTS[4], TEXTS[2]],
        }
    ).astype(dict.fromkeys(("review_id", "split", "label", "movie_id", "text"), "str"))


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Copy the project without what runs have made."""

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(PROJECT / "conf", folder / "conf")
        shutil.copy(PROJECT / "pyproject.toml", folder)
        (folder / "src").mkdir()  # Kedro asks for it; the package is installed
        (folder / "data").mkdir()
        of_this_checkout = shutil.ignore_patterns("aclImdb*", "incoming", "served", "accepted", "quarantine")
        shutil.copytree(PROJECT / "data/01_raw", folder / "data/01_raw", ignore=of_this_checkout)
        (folder / "data/01_raw/incoming").mkdir()
        return folder

    return make


@pytest.fixture(scope="session")
def read_files() -> Callable[[Path], dict[str, bytes]]:
    """Read all that runs of the environment `test` have made, but for what differs by its nature."""

    def read(project: Path) -> dict[str, bytes]:
        files = [path for path in (project / "data/test").rglob("*") if path.is_file()]
        kept = [
            path  # neither identities nor the clock's measurements
            for path in files
            if not path.name.endswith(".lineage.json") and path.stem != "training_speed"
        ]
        return {path.relative_to(project).as_posix(): path.read_bytes() for path in kept}

    return read


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without an experiment of ours, to be copied: its tables take most of a second to make."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path = tmp_path_factory.mktemp("tables") / "mlflow.db"
    SqlAlchemyStore(f"sqlite:///{path}", str(path.parent)).engine.dispose()
    return path


@pytest.fixture
def make_archive(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Write a small `.tar.gz` of the given files."""

    def make(files: dict[str, bytes], name: str = "reviews.tar.gz") -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w:gz") as archive:
            for file, content in files.items():
                member = tarfile.TarInfo(file)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return make


@pytest.fixture(scope="session")
def imdb_archive() -> Path:
    """The real reviews, where they are: they are no part of the repository."""
    for candidate in (os.environ.get("MINIGPT_IMDB_ARCHIVE"), PROJECT / "data/01_raw/aclImdb_v1.tar.gz"):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    pytest.skip(
        "the real reviews are absent: MINIGPT_IMDB_ARCHIVE is not set, data/01_raw/aclImdb_v1.tar.gz is not there"
    )
