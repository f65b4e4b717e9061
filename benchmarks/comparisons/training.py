"""Words a second, and memory, of training at the published example's sizes."""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import project
from benchmarks.comparisons import machine_limit
from benchmarks.corpus import make_corpus
from benchmarks.flops import flop_per_token
from benchmarks.harness import Variant
from benchmarks.options import Options
from benchmarks.reference import example_sizes
from benchmarks.results import MEMORY_COLUMNS, Column, Plan, Row
from benchmarks.worker import MissingError, Worker

WORKERS = "benchmarks.comparisons.training"
REFERENCE = "plain Keras, float32"
WARM_UP_STEPS = 2

NANOGPT_VARIANTS = {
    "nanoGPT in PyTorch, float32": "float32",
    "nanoGPT in PyTorch, bfloat16": "bfloat16",
}

OUR_VARIANTS: dict[str, dict[str, Any]] = {
    "ours, full softmax, float32": {"precision": "float32"},
    "ours, full softmax, bfloat16": {"precision": "mixed_bfloat16"},
    "ours, adaptive softmax, bfloat16": {
        "precision": "mixed_bfloat16",
        "model": {"output_layer": "adaptive"},
    },
}
"""What stands after `kedro run --env keras_example --params` in each; a new option is a line here."""

COLUMNS = (
    Column("tokens/s", ("medians", "tokens_per_second")),
    Column("ratio", ("ratios", "tokens_per_second"), "{:.2f} ×"),
    Column("share of the limit", ("share_of_limit",), "{:.0f} %", 100),
    *MEMORY_COLUMNS,
)


class TrainingWorker(Worker):
    """Trains in slices of a few steps on the same batches as every other one.

    Args:
        sequences: A file of sequences, see `corpus.Corpus`.
        batch_size: Sequences in a step.
        steps: Of a slice.
    """

    def __init__(self, sequences: str, batch_size: int, steps: int) -> None:
        loaded = np.load(sequences)
        whole = len(loaded) // batch_size * batch_size
        self.batches = loaded[:whole].reshape(
            -1, batch_size, loaded.shape[1]
        )  # (num_batches, batch_size, width)
        self.steps = steps
        self.next_batch = 0

    def measure(self) -> dict[str, float]:
        """Train for a slice."""
        return self.train(self.steps)

    def train(self, steps: int) -> dict[str, float]:
        """Take steps, and return the words that were predicted, padding left out, a second."""
        chosen = (self.next_batch + np.arange(steps)) % len(self.batches)
        self.next_batch += steps
        batches = self.batches[chosen]  # (steps, batch_size, width)
        words_of_a_step = (batches[:, :, 1:] != 0).sum() / steps
        seconds_of_a_step = self.take_steps(batches)
        return {"tokens_per_second": words_of_a_step / seconds_of_a_step} | self.device_memory()

    @abstractmethod
    def take_steps(self, batches: np.ndarray) -> float:
        """Train on each batch, int32, (steps, batch_size, length + 1), and return the seconds of a step."""

    def device_memory(self) -> dict[str, float]:
        """Return what `peak_device_memory` does, or nothing."""
        return {}


class TensorFlowTraining(TrainingWorker):
    """A `TrainingWorker` whose GPU memory TensorFlow knows."""

    def device_memory(self) -> dict[str, float]:
        """Return `device_memory_bytes` on a GPU."""
        from benchmarks.tensorflow_device import peak_device_memory

        return peak_device_memory()


class ReferenceTraining(TensorFlowTraining):
    """The example in plain Keras: one `fit` a slice, of which the start is not counted.

    The example calls `fit` once, and what it costs to begin is nothing in its hours.
    """

    def __init__(
        self, sequences: str, vocabulary_size: int, batch_size: int, steps: int, device: str
    ) -> None:
        from benchmarks.reference import mini_gpt
        from benchmarks.tensorflow_device import choose_device

        super().__init__(sequences, batch_size, steps)
        name = choose_device(device)
        self.model = mini_gpt.create_model(vocabulary_size)
        self.info = {"device": name, "weights": self.model.count_params()}
        self.train(WARM_UP_STEPS)

    def take_steps(self, batches: np.ndarray) -> float:
        """Train with `fit`, and return the seconds from the end of its first step to that of its last, by the step."""
        import keras

        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda *_, **__: ends.append(time.perf_counter())
        )
        sequences = batches.reshape(-1, batches.shape[-1])  # (steps * batch_size, length + 1)
        self.model.fit(
            sequences[:, :-1], sequences[:, 1:], batch_size=batches.shape[1], verbose=0, callbacks=[clock]
        )
        return (ends[-1] - ends[0]) / (len(ends) - 1)


class NanoGPTTraining(TrainingWorker):
    """nanoGPT's model and optimizer, where PyTorch is installed."""

    def __init__(
        self, sequences: str, vocabulary_size: int, batch_size: int, steps: int, device: str, precision: str
    ) -> None:
        try:
            import torch
        except ModuleNotFoundError as error:
            raise MissingError("PyTorch is not installed") from error
        from benchmarks.reference import nanogpt

        super().__init__(sequences, batch_size, steps)
        self.nanogpt = nanogpt
        on_gpu = device == "gpu" or (device == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if on_gpu else "cpu")
        self.precision = getattr(torch, precision)
        torch.manual_seed(1)
        self.model = nanogpt.NanoGPT(
            vocabulary_size=vocabulary_size,
            sequence_length=example_sizes.SEQUENCE_LENGTH,
            embed_dim=example_sizes.EMBED_DIM,
            num_heads=example_sizes.NUM_HEADS,
            feed_forward_dim=example_sizes.FEED_FORWARD_DIM,
        ).to(self.device)
        self.optimizer = nanogpt.make_optimizer(self.model)
        self.info = {
            "device": torch.cuda.get_device_name() if on_gpu else "CPU",
            "weights": sum(parameter.numel() for parameter in self.model.parameters()),
        }
        self.train(WARM_UP_STEPS)

    def take_steps(self, batches: np.ndarray) -> float:
        """Train with nanoGPT's step; reading its loss waits for the device."""
        import torch

        started = time.perf_counter()
        for batch in torch.from_numpy(batches.astype("int64")).to(self.device):
            labels = torch.where(batch[:, 1:] == 0, self.nanogpt.NO_LABEL, batch[:, 1:])
            self.nanogpt.take_step(self.model, self.optimizer, batch[:, :-1], labels, self.precision)
        return (time.perf_counter() - started) / len(batches)


class ProjectTraining(TensorFlowTraining):
    """The project's step, as its training loop takes it.

    Args:
        sequences: A file of sequences.
        vocabulary_size: Of the sequences.
        steps: Of a slice.
        overrides: Parameters that differ from those of the environment `keras_example`.
    """

    def __init__(
        self, sequences: str, vocabulary_size: int, steps: int, overrides: Mapping[str, Any]
    ) -> None:
        catalog = project.open_catalog(project.EXAMPLE, overrides)
        super().__init__(sequences, catalog.load("params:training").batch_size, steps)
        # Kept, as the loop keeps it beside the copy that it trains in another precision.
        self.model = project.make_model(catalog, vocabulary_size)
        self.step = project.make_step(catalog, self.model)
        self.info = {
            "weights": self.model.count_params(),
            "model": catalog.load("params:model").model_dump(),
            "training": catalog.load("params:training").model_dump(),
            "compute": catalog.load("compute").model_dump(),
        }
        self.train(WARM_UP_STEPS)

    def take_steps(self, batches: np.ndarray) -> float:
        """Train, and read the losses together at the end, as the loop does."""
        from minigpt_pipeline.text.language_model_pairs import make_language_model_pairs

        started = time.perf_counter()
        losses = [self.step(*make_language_model_pairs(batch)) for batch in batches]
        for loss_sum, num_words in losses:
            float(loss_sum), float(num_words)
        return (time.perf_counter() - started) / len(batches)


def plan(options: Options) -> Plan:
    """Compare the reference, nanoGPT and the project's variants, and all with the machine's limit."""
    rounds, steps = options.choose_rounds(9, 3), options.choose(5, 3)
    num_batches = max(rounds * steps + WARM_UP_STEPS, 20)
    corpus = make_corpus(options, num_batches * example_sizes.BATCH_SIZE, example_sizes.SEQUENCE_LENGTH)
    sizes = {"vocabulary_size": corpus.vocabulary_size, "steps": steps}
    theirs = sizes | {"batch_size": example_sizes.BATCH_SIZE, "device": options.device}
    paths = {"sequences": str(corpus.file)}
    variants = [
        machine_limit.make_variant(options.device, seconds=0.2),
        Variant(REFERENCE, f"{WORKERS}:ReferenceTraining", theirs, paths),
    ]
    variants += [
        Variant(name, f"{WORKERS}:NanoGPTTraining", theirs | {"precision": precision}, paths)
        for name, precision in NANOGPT_VARIANTS.items()
    ]
    variants += [
        Variant(
            name,
            f"{WORKERS}:ProjectTraining",
            sizes | {"overrides": {"device": options.device} | overrides},
            paths,
        )
        for name, overrides in OUR_VARIANTS.items()
    ]
    return Plan(
        name="training",
        title="Training, words a second (batch 128 × 80)",
        variants=variants,
        baseline=REFERENCE,
        rounds=rounds,
        columns=COLUMNS,
        settings={"corpus": corpus.source, "warm_up_steps": WARM_UP_STEPS, **sizes},
        conclude=conclude,
    )


def conclude(rows: Sequence[Row]) -> list[str]:
    """Add each row's `share_of_limit`, and say what it is a share of."""
    limit, described = machine_limit.find_limit(rows)
    flop = 0
    for row in rows:
        if "tokens_per_second" not in row["medians"]:
            continue
        sizes = {
            "vocabulary_size": row["settings"]["vocabulary_size"],
            "embed_dim": example_sizes.EMBED_DIM,
            "feed_forward_dim": example_sizes.FEED_FORWARD_DIM,
            "num_blocks": 1,
        }
        # Heads that share the width: what every variant must do at least, so that all are held to the same work.
        flop = flop_per_token(**sizes, attention_width=example_sizes.EMBED_DIM)
        row["flop_per_token"] = flop
        row["share_of_limit"] = row["medians"]["tokens_per_second"] * flop / limit
    return [
        described,
        f"The share of the limit counts {flop / 1e6:.1f} MFLOP a word, for every variant the same: those of the "
        "full softmax and of heads that share the width.",
        "Words: predicted positions that hold a word; padding is not counted.",
    ]
