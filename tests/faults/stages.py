"""One project before and after each pipeline, to be put back for every fault."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from minigpt_pipeline.serving.watch import Watch
from minigpt_pipeline.text.synthetic_reviews import write_archive
from tests.faults.launcher import Launcher
from tests.served import make_text

SEED = int(os.environ.get("MINIGPT_FAULT_SEED", "20"))
FORMER_REVIEWS, NEW_REVIEWS = 1500, 300
SERVED_TEXTS = 120
# Past some looks at the validation films and some checkpoints, so that moments fall into all of them.
TRAINING = ",".join(
    f"training.{setting}"
    for setting in ("max_steps=40", "log_every_steps=2", "evaluate_every_steps=4", "checkpoint_every_steps=3")
)
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "ingestion": (),
    "validation": (),
    "vectorization": (),
    "training": ("--params", TRAINING),
    "evaluation": (),
    "generation": (),
    "promotion": (),
    "comparison": ("--params", "comparison.runs=last"),
    "monitoring": (),
    "sweep": (),
    "incoming": (),
    "retraining": ("--params", TRAINING),
}
"""Of each pipeline, in the order in which one makes what the next reads."""


@dataclass(frozen=True)
class Stage:
    """A pipeline about to run.

    Args:
        arguments: Of the `kedro run` that runs it.
        before: A copy of the project with what it reads, and with what it makes as earlier reviews have made it.
        after: A copy of the project behind a run that was left alone.
        events: That such a run comes by; see `inside`.
        seconds: That it took.
    """

    name: str
    arguments: tuple[str, ...]
    before: Path
    after: Path
    events: int
    seconds: float


class Stages:
    """Makes the stages in their order, each when it is first asked for, and puts the project back.

    Everything happens in one place, because MLflow's store knows where its files are.

    Args:
        launcher: Runs.
        make_project: Makes a copy of the project that has run nothing.
        folder: Where all copies lie.
    """

    def __init__(self, launcher: Launcher, make_project: Callable[[str], Path], folder: Path) -> None:
        self.launcher, self._folder = launcher, folder
        self.project = folder / "project"
        self._make_project = make_project
        self._stages = self._make()
        self._made: dict[str, Stage] = {}

    def put_back(self, name: str) -> Stage:
        """Make the project what it is before a pipeline."""
        while name not in self._made:
            stage = next(self._stages)
            self._made[stage.name] = stage
        stage = self._made[name]
        copy(stage.before, self.project)
        return stage

    def _make(self) -> Iterator[Stage]:
        self._make_former()
        for name, arguments in ARGUMENTS.items():
            # A retraining takes the new batch in itself; each other pipeline finds what the one before it has made.
            former = self._made["incoming"].before if name == "retraining" else self._find_newest()
            copy(former, self.project)
            before, after = self._folder / f"before_{name}", self._folder / f"after_{name}"
            copy(self.project, before)
            command = ("--pipelines", name, *arguments)
            events, seconds = self.launcher.count_events(self.project, *command)
            copy(self.project, after)
            yield Stage(name, command, before, after, events, seconds)

    def _find_newest(self) -> Path:
        return next(reversed(self._made.values())).after if self._made else self._folder / "former"

    def _make_former(self) -> None:
        """Let all pipelines of a first day run, and bring the reviews of a second one."""
        shutil.move(self._make_project("faults"), self.project)
        archive = self.project / "data/01_raw/sample_reviews.tar.gz"
        kept = archive.rename(self._folder / archive.name)
        write_archive(archive, FORMER_REVIEWS, seed=5)
        self.launcher.run(self.project, "--params", TRAINING)
        self.launcher.run(self.project, "--pipelines", "comparison", "--params", "comparison.runs=last")
        shutil.copy(kept, archive)
        write_archive(self.project / "data/01_raw/incoming/new.tar.gz", NEW_REVIEWS, seed=77)
        serve(self.project)
        copy(self.project, self._folder / "former")


def copy(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, symlinks=True)


def serve(project: Path) -> None:
    """Let a server say what it has served now."""
    watch = Watch(project / "data/01_raw/served", keep_days=30, log_texts=False)
    watch.put_in_use("minigpt", "1", "data/test")
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    for number in range(SERVED_TEXTS):
        watch.answered(make_text(at=at, request_id=str(number), data="data/test"))
    watch.close()
