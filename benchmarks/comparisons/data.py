"""From an archive to token ids: seconds by stage, and memory."""

import gzip
import io
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import project
from benchmarks.harness import Variant
from benchmarks.options import Options
from benchmarks.results import MEMORY_COLUMNS, Column, Plan
from benchmarks.worker import Worker
from minigpt_pipeline.text.imdb import SPLITS
from minigpt_pipeline.text.synthetic_reviews import Review, draw_film, write_review
from minigpt_pipeline.text.synthetic_words import POSITIVE_RATINGS

WORKER = "benchmarks.comparisons.data:DataPath"
STAGES = ("ingestion", "validation", "vectorization")
ARCHIVE = "MINIGPT_IMDB_ARCHIVE"
SEED = 2011
LOG_LENGTH = (6.97, 0.64)
"""Mean and standard deviation of the logarithm of a real review's number of characters."""

MIN_LENGTH = 40  # characters

COLUMNS = (
    Column("seconds", ("medians", "seconds"), "{:.1f}"),
    *(Column(stage, ("medians", f"{stage}_seconds"), "{:.1f}") for stage in STAGES),
    Column("seconds, ratio", ("ratios", "seconds"), "{:.2f} ×"),
    *MEMORY_COLUMNS,
)


class DataPath(Worker):
    """Runs the data pipelines of a copy of the project, from an archive to the files with the token ids.

    Args:
        archive: The archive.
        folder: Where the copy is made.
        min_reviews: What validation is told to expect.
    """

    def __init__(self, archive: str, folder: str, min_reviews: int) -> None:
        self.archive = archive
        self.overrides = {"validation": {"min_reviews": min_reviews}}
        # One worker a round: each needs a folder that is not there yet.
        self.project = project.copy_project(Path(tempfile.mkdtemp(dir=folder)) / "project")
        self.info = {}
        self._run("sample", {})  # imports whatever the stages import when they are run

    def measure(self) -> dict[str, float]:
        """Run the stages on the archive."""
        os.environ[ARCHIVE] = self.archive
        seconds = self._run("base", self.overrides)
        return {"seconds": sum(seconds.values())} | {
            f"{stage}_seconds": spent for stage, spent in seconds.items()
        }

    def _run(self, environment: str, overrides: project.Overrides) -> dict[str, float]:
        seconds = {}
        for stage in STAGES:
            catalog = project.open_catalog(environment, overrides, self.project)
            started = time.perf_counter()
            project.run_pipeline(stage, catalog)
            seconds[stage] = time.perf_counter() - started
        return seconds


def plan(options: Options) -> Plan:
    """Compare the real reviews, where there are any, with as many and twice as many of the generator's."""
    num_reviews = options.choose(50_000, 5_000)
    reviews = list(draw_reviews(2 * num_reviews))
    archives = {
        f"{number:,} generated reviews": options.folder / f"reviews_{number}.tar.gz"
        for number in (num_reviews, len(reviews))
    }
    for number, archive in zip((num_reviews, len(reviews)), archives.values(), strict=True):
        write_archive(archive, reviews[:number])
    baseline = next(iter(archives))
    real = os.environ.get(ARCHIVE)
    if real:
        archives["the real reviews"] = Path(real)
    return Plan(
        name="data",
        title="Data path, archive to token ids",
        variants=[
            Variant(
                name,
                WORKER,
                {"min_reviews": num_reviews // 2},
                {"archive": str(archive.resolve()), "folder": str(options.folder)},
            )
            for name, archive in archives.items()
        ],
        baseline=baseline,
        rounds=options.choose_rounds(3, 1),
        columns=COLUMNS,
        fresh_processes=True,
        conclude=lambda _: ["Imports left out; reading and writing of every dataset included."],
    )


def draw_reviews(num_reviews: int) -> Iterator[Review]:
    """Write reviews with the embedded corpus' grammar that are as long as real ones; each of a film of its own."""
    rng = random.Random(SEED)  # noqa: S311 -- texts, not secrets # nosec B311
    for _ in range(num_reviews):
        film = draw_film(rng)
        review = write_review(film, rng)
        length, text = rng.lognormvariate(*LOG_LENGTH), review.text
        while len(text) < length:
            text += " " + write_review(film, rng).text
        yield Review(text[: max(MIN_LENGTH, round(length))], review.rating)


def write_archive(path: Path, reviews: Sequence[Review]) -> None:
    """Write reviews in the real archive's layout, half of them in `train`."""
    pages: dict[str, list[str]] = {}
    with (
        gzip.open(path, "wb", compresslevel=6) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for number, review in enumerate(reviews):
            label = "pos" if review.rating in POSITIVE_RATINGS else "neg"
            folder = f"{SPLITS[number % len(SPLITS)]}/{label}"
            films = pages.setdefault(folder, [])
            _add_file(archive, f"{folder}/{len(films)}_{review.rating}.txt", review.text)
            films.append(f"http://www.imdb.com/title/tt{number:07d}/usercomments")
        for folder, films in pages.items():
            split, label = folder.split("/")
            _add_file(archive, f"{split}/urls_{label}.txt", "\n".join(films))


def _add_file(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(f"aclImdb/{name}")
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
