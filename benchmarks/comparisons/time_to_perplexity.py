"""How long the project trains until it is as good as the reference ever gets. Hours; only when it is asked for by name.

The reference trains once a machine, and its epochs are kept in `reference_<fingerprint>.json`: trained by `fit` on the
first 81 words of each training review, measured on the validation reviews after each epoch, until it has not become
better twice; it is measured on the test reviews too, which choose nothing. An epoch takes its number of steps times the
median step, so that hours in which the machine now and then does something else count as if it never did; the measuring
is left out. The clock of the project never stands still.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import project
from benchmarks.corpus import TOKENIZER_FILE, TRAIN_FILE, find_data
from benchmarks.harness import BenchmarkError, Variant, measure
from benchmarks.machine import describe_machine, describe_versions, fingerprint
from benchmarks.options import Options
from benchmarks.reference import example_sizes
from benchmarks.results import PEAK_MEMORY, Column, Plan, write_json
from benchmarks.worker import Worker

WORKERS = "benchmarks.comparisons.time_to_perplexity"
REFERENCE = "plain Keras, its best epoch"
VALIDATION_FILE = "05_model_input/validation_token_ids.parquet"
TEST_FILE = "05_model_input/test_token_ids.parquet"
PATIENCE = 2
"""Epochs without a better perplexity after which the reference is done."""
SEED = 42

QUICK_REVIEWS = 512
EVALUATION_BATCH = 64

OUR_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ours, adaptive softmax, bfloat16": (
        "keras_example",
        {
            "precision": "mixed_bfloat16",
            "model": {"output_layer": "adaptive"},
            "training": {
                "epochs": 4,
                "optimizer": {"learning_rate": 0.002, "warmup_steps": 100, "decay": "cosine"},
            },
        },
    ),
}
"""Environment, and what stands after `--params`; a new option is a line here."""

COLUMNS = (
    Column("seconds", ("medians", "seconds")),
    Column("seconds, ratio", ("ratios", "seconds"), "{:.3f} ×"),
    Column("perplexity", ("medians", "perplexity"), "{:.1f}"),
)


class ReferenceEpochs(Worker):
    """Trains the reference until it becomes no better.

    Args:
        data: Folder with the token ids.
        num_reviews: Of the training reviews, the first; null means all.
        max_epochs: At most.
        device: `auto`, `cpu` or `gpu`.
    """

    def __init__(self, data: str, num_reviews: int | None, max_epochs: int, device: str) -> None:
        import keras

        from benchmarks.reference import mini_gpt
        from benchmarks.tensorflow_device import choose_device

        self.max_epochs = max_epochs
        self.info = {"device": choose_device(device)}
        self.train_sequences = load_sequences(Path(data) / TRAIN_FILE, num_reviews)
        self.validation_sequences = load_sequences(Path(data) / VALIDATION_FILE, num_reviews)
        self.test_sequences = load_sequences(Path(data) / TEST_FILE, num_reviews)
        keras.utils.set_random_seed(SEED)
        self.model = mini_gpt.create_model(count_words(Path(data)))

    def measure(self) -> dict[str, float]:
        """Return seconds and perplexities of the best epoch, and those of all."""
        curve: list[dict[str, float]] = []
        seconds, best = 0.0, 0
        while len(curve) < self.max_epochs and len(curve) - best <= PATIENCE:
            seconds += fit_epoch(self.model, self.train_sequences)
            perplexity = measure_perplexity(self.model, self.validation_sequences)
            test_perplexity = measure_perplexity(self.model, self.test_sequences)
            curve.append({"seconds": seconds, "perplexity": perplexity, "test_perplexity": test_perplexity})
            best = min(range(len(curve)), key=lambda epoch: curve[epoch]["perplexity"])
            self.report(f"epoch {len(curve)}: perplexity {perplexity:.2f} after {seconds / 60:.1f} minutes")
        measured = curve[best] | {"epochs": float(best + 1)}
        for epoch, values in enumerate(curve, start=1):
            measured |= {f"{name} after {epoch}": value for name, value in values.items()}
        return measured


class StoredReference(Worker):
    """Gives back what was measured once."""

    def __init__(self, seconds: float, perplexity: float) -> None:
        self.info = {}
        self.stored = {"seconds": seconds, "perplexity": perplexity}

    def measure(self) -> dict[str, float]:
        """Return it."""
        return self.stored


class ProjectTraining(Worker):
    """Runs the project's `training` pipeline until its validation perplexity is low enough.

    Args:
        data: Folder with the token ids.
        folder: Where a copy of the project is made.
        num_reviews: Of the training reviews, the first; null means all.
        target: Perplexity to reach.
        environment: Of the project's configuration.
        overrides: Parameters that differ from the environment's.
    """

    def __init__(
        self,
        data: str,
        folder: str,
        num_reviews: int | None,
        target: float,
        environment: str,
        overrides: Mapping[str, Any],
    ) -> None:
        import keras  # noqa: F401 -- imports are no training
        from kedro.io import MemoryDataset

        self.log = ClockedLog(target, self.report)
        copy = project.copy_project(Path(folder))
        self.catalog = project.open_catalog(environment, overrides, copy)
        for name in ("train", "validation"):
            table = load_table(Path(data) / f"05_model_input/{name}_token_ids.parquet", num_reviews)
            self.catalog[f"{name}_token_ids"] = MemoryDataset(table, copy_mode="assign")
        self.catalog["tokenizer"] = MemoryDataset(load_tokenizer(Path(data)), copy_mode="assign")
        self.catalog["training_log"] = MemoryDataset(self.log, copy_mode="assign")
        self.info = {"parameters": self.catalog.load("params:training").model_dump()}

    def measure(self) -> dict[str, float]:
        """Train; without `seconds` where the perplexity was not reached."""
        self.log.start()
        try:
            project.run_pipeline("training", self.catalog)
        except TargetReachedError:
            return {"seconds": self.log.seconds, "perplexity": self.log.best}
        return {"perplexity": self.log.best}


class TargetReachedError(Exception):
    """The training has reached its perplexity."""


class ClockedLog:
    """A `TrainingLog` that ends a training which is good enough.

    Args:
        target: Perplexity to reach.
        report: Shows progress.
    """

    name = "benchmark"

    def __init__(self, target: float, report: Any) -> None:
        self.target = target
        self.report = report
        self.best = float("inf")
        self.start()

    def start(self) -> None:
        """Start the clock."""
        self.started = time.perf_counter()
        self.seconds = 0.0

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Look at the validation perplexity.

        Raises:
            TargetReachedError: If it is low enough.
        """
        if "val/perplexity" not in metrics:
            return
        self.seconds = time.perf_counter() - self.started
        self.best = min(self.best, metrics["val/perplexity"])
        self.report(
            f"step {step}: perplexity {metrics['val/perplexity']:.2f} after {self.seconds / 60:.1f} minutes"
        )
        if self.best <= self.target:
            raise TargetReachedError

    def log_samples(self, samples: Sequence[dict[str, Any]]) -> None:
        """Let texts go by."""

    def take_over(self, *_: Any, **__: Any) -> None:
        """Refuse: a training that goes on from a checkpoint has no time of its own."""
        raise RuntimeError("The training goes on from a checkpoint, and would be timed too short")


def plan(options: Options) -> Plan:
    """Compare the project with the reference's best epoch, trained now if this machine has never done it."""
    data = find_data(options)
    if data is None:
        raise BenchmarkError(
            "time_to_perplexity needs the real reviews: set MINIGPT_IMDB_ARCHIVE, or name a data folder with --data"
        )
    num_reviews = QUICK_REVIEWS if options.is_quick else None
    reference = find_reference(options, data, num_reviews)
    common = {"num_reviews": num_reviews, "target": reference["perplexity"]}
    variants = [
        Variant(
            REFERENCE,
            f"{WORKERS}:StoredReference",
            {name: reference[name] for name in ("seconds", "perplexity")},
        )
    ]
    variants += [
        Variant(
            name,
            f"{WORKERS}:ProjectTraining",
            common | {"environment": environment, "overrides": {"device": options.device} | overrides},
            {"data": str(data), "folder": str(options.folder / f"training_{number}")},
        )
        for number, (name, (environment, overrides)) in enumerate(OUR_VARIANTS.items())
    ]
    return Plan(
        name="time_to_perplexity",
        title="Training until the reference's best validation perplexity",
        variants=variants,
        baseline=REFERENCE,
        rounds=1,
        columns=COLUMNS,
        settings=common | {"reference": reference},
        fresh_processes=True,
    )


def find_reference(options: Options, data: Path, num_reviews: int | None) -> dict[str, Any]:
    """Return the reference's epochs on this machine and these reviews; train it where they are not known."""
    max_epochs = options.choose(25, 2)
    settings = {"num_reviews": num_reviews, "max_epochs": max_epochs, "device": options.device}
    versions = describe_versions()
    facts = {
        **describe_machine(),
        **settings,
        "films": "validation, test",
        **{package: versions[package] for package in ("tensorflow", "keras")},
        "words": int((load_sequences(data / TRAIN_FILE, num_reviews) != 0).sum()),
    }
    file = options.output / f"reference_{fingerprint(facts)}.json"
    if file.exists():
        known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return known
    variant = Variant(REFERENCE, f"{WORKERS}:ReferenceEpochs", settings, {"data": str(data)})
    (measurement,) = measure([variant], 1, options.report)
    epochs = {name: samples[0] for name, samples in measurement.samples.items()}
    reference = epochs | {PEAK_MEMORY: measurement.peak_memory_bytes, "facts": facts}
    write_json(file, reference)
    return reference


def load_table(file: Path, num_reviews: int | None) -> Any:
    """Return the token ids of the first reviews, a pyarrow table."""
    from minigpt_pipeline.datasets import ArrowTableDataset

    return ArrowTableDataset(filepath=str(file)).load().slice(0, num_reviews)


def load_sequences(file: Path, num_reviews: int | None) -> np.ndarray:
    """Return the first 81 words of the first reviews, int32, (num_reviews, 81), padded with 0."""
    from minigpt_pipeline.text.sequences import truncate

    return truncate(load_table(file, num_reviews), example_sizes.SEQUENCE_LENGTH)


def load_tokenizer(data: Path) -> Any:
    """Return the tokenizer of a data folder."""
    from minigpt_pipeline.datasets import TokenizerDataset

    return TokenizerDataset(filepath=str(data / TOKENIZER_FILE)).load()


def count_words(data: Path) -> int:
    """Return the size of the vocabulary of a data folder."""
    return len(load_tokenizer(data))


def fit_epoch(model: Any, sequences: np.ndarray) -> float:
    """Train for an epoch on sequences, int32, (num_reviews, 81); return its steps times the median step, in seconds."""
    import keras

    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: ends.append(time.perf_counter())
    )
    inputs, labels = sequences[:, :-1], sequences[:, 1:]
    model.fit(inputs, labels, batch_size=example_sizes.BATCH_SIZE, verbose=0, callbacks=[clock])
    return len(ends) * float(np.median(np.diff(ends)))


def measure_perplexity(model: Any, sequences: np.ndarray) -> float:
    """Return exp of the mean loss of words 2 to 81 of each review: the project's measure, for a plain Keras model."""
    import keras

    total, num_words = 0.0, 0
    for start in range(0, len(sequences), EVALUATION_BATCH):
        batch = sequences[start : start + EVALUATION_BATCH]
        logits = model.predict_on_batch(batch[:, :-1])  # (rows, 80, vocabulary_size)
        labels = batch[:, 1:]
        losses = np.asarray(keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        total += float(losses[labels != 0].sum(dtype=np.float64))
        num_words += int((labels != 0).sum())
    return float(np.exp(total / num_words))
