"""What minutes, words and parameters buy on this machine: models of several sizes, trained for several budgets.

Hours; only when it is asked for by name. A point that was trained is kept in `perplexity_scaling/<fingerprint>.json`
and never trained again on the same machine and data with the same configuration, whatever the code: it names its
commit. `--minutes` trains as many of the missing ones as fit, the cheapest first. Each ends its cosine with its
minutes. Perplexity is that of the validation films: nothing here chooses by the test films.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from benchmarks import project
from benchmarks.comparisons.time_to_perplexity import VALIDATION_FILE, load_table, load_tokenizer
from benchmarks.corpus import TRAIN_FILE, find_data
from benchmarks.harness import PROJECT, BenchmarkError, Variant
from benchmarks.machine import describe_machine, fingerprint
from benchmarks.options import Options
from benchmarks.results import Column, Plan, Row, write_json
from benchmarks.worker import Worker
from minigpt_pipeline.commit import read_commit, shorten_commit

WORKERS = "benchmarks.comparisons.perplexity_scaling"
SIZES: dict[str, dict[str, Any]] = {
    "width 128": {"embed_dim": 128, "feed_forward_dim": 512},
    "1 block": {"num_blocks": 1},
    "base": {},
    "width 512": {"embed_dim": 512, "feed_forward_dim": 2048},
}
"""What differs from `base` after `--params model.`; a new size is a line here."""
QUARTER = "base, a quarter of the reviews"
"""Each fourth one: beside all of them for the same minutes, they say what four times the reviews are worth."""
POINTS = (*((size, minutes) for minutes in (3, 10) for size in SIZES), (QUARTER, 10), ("base", 30))
QUICK_POINTS = tuple((size, 0.2) for size in SIZES)
"""Size and minutes, the cheapest first; an hour of `base` is `make run ENV=base`."""
TIMED_STEPS = 40
QUICK_REVIEWS = 512

COLUMNS = (
    Column("parameters (million)", ("medians", "parameters"), "{:.2f}", 1e-6),
    Column("words (million)", ("medians", "words"), "{:.2f}", 1e-6),
    Column("minutes", ("medians", "minutes"), "{:.1f}"),
    Column("perplexity", ("medians", "perplexity"), "{:.1f}"),
    Column("commit", ("info", "commit")),
)


class LookLog:
    """A `TrainingLog` that keeps the looks at the validation films."""

    name = "benchmark"

    def __init__(self) -> None:
        self.looks: list[dict[str, float]] = []
        self._seconds = 0.0

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Keep a look; the seconds come before it."""
        self._seconds = metrics.get("train/seconds", self._seconds)
        if "val/perplexity" in metrics:
            self.looks.append(
                {
                    "step": step,
                    "words": metrics["train/words"],
                    "minutes": self._seconds / 60,
                    "perplexity": metrics["val/perplexity"],
                }
            )

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Let texts go by."""

    def take_over(self, *_: Any, **__: Any) -> None:
        """Refuse: a training that goes on from a checkpoint has no time of its own."""
        raise RuntimeError("The training goes on from a checkpoint, and would be timed too short")


class StudyPoint(Worker):
    """Trains a model for some minutes, and keeps what came of it.

    Args:
        data: Folder with the token ids.
        folder: Where a copy of the project is made.
        file: Where the point is kept.
        num_reviews: Of the training reviews, the first; null means all.
        every: Of these, each so many-th is trained on.
        environment: Of the project's configuration.
        overrides: Parameters that differ from the environment's.
    """

    def __init__(
        self,
        data: str,
        folder: str,
        file: str,
        num_reviews: int | None,
        every: int,
        environment: str,
        overrides: Mapping[str, Any],
    ) -> None:
        from kedro.io import MemoryDataset

        self.file = Path(file)
        self.catalog = project.open_catalog(environment, overrides, project.copy_project(Path(folder)))
        for name, path, step in (("train", TRAIN_FILE, every), ("validation", VALIDATION_FILE, 1)):
            table = load_table(Path(data) / path, num_reviews)
            table = table.take(list(range(0, len(table), step)))
            self.catalog[f"{name}_token_ids"] = MemoryDataset(table, copy_mode="assign")
        self.catalog["tokenizer"] = MemoryDataset(load_tokenizer(Path(data)), copy_mode="assign")
        self.commit = str(read_commit(PROJECT))  # somebody may go on working meanwhile
        self.info = {
            "parameters": self.catalog.load("params:training").model_dump(),
            "commit": shorten_commit(self.commit),
        }

    def measure(self) -> dict[str, float]:
        """Train, and return the point with the lowest perplexity."""
        from minigpt_pipeline.search.timing import limit_steps

        model, training = self.catalog.load("params:model"), self.catalog.load("params:training")
        log = LookLog()
        self._train(model, limit_steps(self._train, model, training, TIMED_STEPS), log)
        network = self.catalog.load("trained_model").load_model()
        point = {"parameters": network.count_params(), "looks": log.looks, "commit": self.commit}
        write_json(self.file, point)
        return summarize_point(point)

    def _train(self, _model: Any, training: Any, log: Any) -> None:
        from kedro.io import MemoryDataset

        self.catalog["params:training"] = MemoryDataset(training)
        self.catalog["training_log"] = MemoryDataset(log, copy_mode="assign")
        project.run_pipeline("training", self.catalog)


class StoredPoint(Worker):
    """Gives back what was trained once.

    Args:
        file: Where the point is kept.
    """

    def __init__(self, file: str) -> None:
        self.point = json.loads(Path(file).read_text(encoding="utf-8"))
        commit = self.point.get("commit")  # null of the first ones, which did not keep it
        self.info = {"commit": commit and shorten_commit(commit)}

    def measure(self) -> dict[str, float]:
        """Return it."""
        return summarize_point(self.point)


def summarize_point(point: Mapping[str, Any]) -> dict[str, float]:
    """Return the lowest perplexity of a point, when it was reached, and the size of the model."""
    best = min(point["looks"], key=lambda look: look["perplexity"])
    return {name: float(best[name]) for name in ("perplexity", "minutes", "words")} | {
        "parameters": float(point["parameters"])
    }


def plan(options: Options) -> Plan:
    """Train the points that are missing and for which there is time, and draw all that there are."""
    data = find_data(options)
    if data is None:
        raise BenchmarkError(
            "perplexity_scaling needs the real reviews: set MINIGPT_IMDB_ARCHIVE, or name a data folder with --data"
        )
    variants, files = [], {}
    facts = describe_machine(), read_configuration(options), describe_data(data)
    minutes_left = options.minutes if options.minutes is not None else float("inf")
    points = QUICK_POINTS if options.is_quick else POINTS
    for size, minutes in points:
        name, settings = f"{size}, {minutes:g} minutes", make_settings(options, size, minutes)
        file = options.output / "perplexity_scaling" / f"{fingerprint(settings, *facts)}.json"
        if file.exists():
            variants.append(Variant(name, f"{WORKERS}:StoredPoint", {}, {"file": str(file)}))
        elif minutes <= minutes_left:
            minutes_left -= minutes
            places = {
                "data": str(data), "folder": str(options.folder / fingerprint(settings)), "file": str(file)
            }  # fmt: skip
            variants.append(Variant(name, f"{WORKERS}:StudyPoint", settings, places))
        else:
            options.report(f"{name}: no time is left for it")
            continue
        files[name] = file
    if not variants:
        raise BenchmarkError(
            f"--minutes {options.minutes:g} has no room for a point: the cheapest takes {points[0][1]:g}"
        )
    return Plan(
        name="perplexity_scaling",
        title="Validation perplexity by size and minutes of training",
        variants=variants,
        baseline=variants[0].name,
        rounds=1,
        columns=COLUMNS,
        settings={"minutes": options.minutes},
        fresh_processes=True,
        conclude=partial(conclude, files=files, image=options.images / "perplexity_scaling.png"),
    )


def choose_environment(options: Options) -> str:
    """Return whose parameters the sizes change."""
    return "test" if options.is_quick else "base"


def read_configuration(options: Options) -> dict[str, Any]:
    """Return the parameters that the sizes change: a point of others is another point."""
    catalog = project.open_catalog(choose_environment(options))
    return {name: catalog.load(f"params:{name}").model_dump() for name in ("model", "training")} | {
        "precision": catalog.load("compute").precision
    }


def describe_data(data: Path) -> dict[str, Any]:
    """Return what the folder with token ids holds: a point of parts of words is another than one of words.

    Returns:
        `tokenizer` (its digest), and of the training films `reviews` and `tokens` (how many).
    """
    token_ids = load_table(data / TRAIN_FILE, None)["token_ids"]
    lengths = pc.list_value_length(token_ids)
    return {
        "tokenizer": load_tokenizer(data).digest,
        "reviews": len(token_ids),
        "tokens": pc.sum(lengths).as_py(),
    }


def make_settings(options: Options, size: str, minutes: float) -> dict[str, Any]:
    """Return what decides what comes of a point."""
    training: dict[str, Any] = {"epochs": 1000, "max_steps": None, "max_minutes": minutes}
    training |= {"evaluate_every_steps": options.choose(400, 5), "sample_every_epochs": 10**6}
    training |= {"checkpoint_every_minutes": None, "checkpoint_every_steps": None}
    overrides = {"device": options.device, "model": SIZES.get(size, {}), "training": training}
    return {
        "num_reviews": options.choose(0, QUICK_REVIEWS) or None,
        "every": 4 if size == QUARTER else 1,
        "environment": choose_environment(options),
        "overrides": overrides,
    }


def conclude(rows: Sequence[Row], files: Mapping[str, Path], image: Path) -> list[str]:
    """Draw the plot, and say where it is."""
    from minigpt_pipeline.datasets import FigureDataset

    points = {
        row["name"]: json.loads(files[row["name"]].read_text(encoding="utf-8"))
        for row in rows
        if not row["missing"]
    }
    FigureDataset(filepath=str(image)).save(draw(points))
    return [
        f"Plot: {image.name}; each line is a training, its best perplexity is marked.",
        "A point is trained once, and has the commit that trained it.",
    ]


def draw(points: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draw perplexity against minutes, words and parameters.

    Args:
        points: `parameters` and `looks` by the name of the point.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    axes = {"minutes": 1.0, "words": 1e-6, "parameters": 1e-6}
    found = {name: summarize_point(point) for name, point in points.items()}
    sizes = list(dict.fromkeys(map(_size_of, points)))
    for name, point in points.items():
        colour = f"C{sizes.index(_size_of(name))}"
        for panel, (axis, scale) in zip(panels, axes.items(), strict=True):
            if axis != "parameters":
                looks = [
                    (scale * look[axis], look["perplexity"]) for look in point["looks"] if look[axis] > 0
                ]
                panel.plot(*zip(*looks, strict=True), color=colour, alpha=0.5)
            panel.plot(scale * found[name][axis], found[name]["perplexity"], "o", color=colour)
    for minutes in dict.fromkeys(map(_minutes_of, points)):
        budget = [found[name] for name in points if _minutes_of(name) == minutes and _size_of(name) in SIZES]
        line = sorted((1e-6 * point["parameters"], point["perplexity"]) for point in budget)
        if len(line) > 1:
            panels[2].plot(*zip(*line, strict=True), color="0.6", linewidth=1, zorder=0)
            panels[2].annotate(
                f" {minutes}", line[-1], color="0.4", fontsize="small", va="bottom", ha="right"
            )
    for size in sizes:
        panels[0].plot([], [], color=f"C{sizes.index(size)}", marker="o", label=size)
    labels = "minutes of training", "words trained on (million)", "parameters (million)"
    for panel, label in zip(panels, labels, strict=True):
        panel.set_xlabel(label)
        _number(panel)
        panel.grid(alpha=0.2)
    panels[0].set_ylabel("validation perplexity")
    panels[0].legend(frameon=False, fontsize="small")
    return figure


def _size_of(name: str) -> str:
    return name.rpartition(", ")[0]


def _minutes_of(name: str) -> str:
    return name.rpartition(", ")[2]


def _number(panel: Any) -> None:
    """Count in ratios, and write numbers as people do."""
    from matplotlib.ticker import LogLocator, NullFormatter

    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
