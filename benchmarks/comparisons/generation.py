"""Seconds a token of writing, for one text and for many side by side."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import project
from benchmarks.harness import Variant
from benchmarks.options import Options
from benchmarks.reference import example_sizes
from benchmarks.results import MEMORY_COLUMNS, Column, Plan
from benchmarks.worker import Worker, repeat

WORKERS = "benchmarks.comparisons.generation"
REFERENCE = "plain Keras, one predict a token"
SEED = 1

OUR_VARIANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "ours, 1 stream": (1, {}),
    "ours, 64 streams": (64, {}),
    "ours, 64 streams, adaptive": (64, {"model": {"output_layer": "adaptive"}}),
}
"""Texts side by side, and what stands after `kedro run --env keras_example --params`; a new option is a line here."""

COLUMNS = (
    Column("ms/token", ("medians", "seconds_per_token"), "{:,.3f}", 1000),
    Column("tokens/s", ("medians", "tokens_per_second")),
    Column("tokens/s, ratio", ("ratios", "tokens_per_second"), "{:,.1f} ×"),
    *MEMORY_COLUMNS,
)


class GenerationWorker(Worker):
    """Writes texts from fresh weights, which cost what trained ones cost.

    Args:
        new_tokens: Of each text.
        seconds: That a slice takes at least.
        streams: Texts side by side.
    """

    def __init__(self, new_tokens: int, seconds: float, streams: int) -> None:
        self.new_tokens = new_tokens
        self.seconds = seconds
        rng = np.random.default_rng(SEED)
        self.prompts = [
            rng.integers(2, example_sizes.VOCABULARY_SIZE, size=length).tolist()
            for length in rng.integers(2, 10, size=streams)
        ]

    def measure(self) -> dict[str, float]:
        """Write all texts, again and again for a slice."""
        seconds_per_token = repeat(self.write, self.seconds) / (self.new_tokens * len(self.prompts))
        return {"seconds_per_token": seconds_per_token, "tokens_per_second": 1 / seconds_per_token}

    def write(self) -> None:
        """Write a text for each prompt."""
        texts = self.write_texts()
        if [len(text) for text in texts] != [self.new_tokens] * len(self.prompts):
            raise ValueError(f"Expected {self.new_tokens} new tokens of each text, got {[*map(len, texts)]}")

    @abstractmethod
    def write_texts(self) -> list[list[int]]:
        """Return the new tokens of each text."""


class ReferenceGeneration(GenerationWorker):
    """The example's loop around `predict`."""

    def __init__(self, new_tokens: int, seconds: float, streams: int, device: str) -> None:
        from benchmarks.reference import mini_gpt
        from benchmarks.tensorflow_device import choose_device

        super().__init__(new_tokens, seconds, streams)
        self.info = {"device": choose_device(device)}
        self.generate = mini_gpt.generate
        self.rng = np.random.default_rng(SEED)
        self.model = mini_gpt.create_model()
        self.write()

    def write_texts(self) -> list[list[int]]:
        """Write one text after another."""
        return [self.generate(self.model, prompt, self.new_tokens, self.rng) for prompt in self.prompts]


class ProjectGeneration(GenerationWorker):
    """The project's `Writer`, with the parameters of its `generation` pipeline."""

    def __init__(self, new_tokens: int, seconds: float, streams: int, overrides: Mapping[str, Any]) -> None:
        from minigpt_pipeline.model.generation import Writer

        super().__init__(new_tokens, seconds, streams)
        sampling = {"max_new_tokens": new_tokens, "top_k": example_sizes.TOP_K, "stop_token": None}
        catalog = project.open_catalog(
            project.EXAMPLE, dict(overrides) | {"generation": {"sampling": sampling}}
        )
        self.writer = Writer(project.make_model(catalog, example_sizes.VOCABULARY_SIZE))
        self.sampling = catalog.load("params:generation").sampling
        self.info = {
            "model": catalog.load("params:model").model_dump(),
            "sampling": self.sampling.model_dump(),
            "compute": catalog.load("compute").model_dump(),
        }
        self.write()

    def write_texts(self) -> list[list[int]]:
        """Write all texts side by side."""
        return self.writer.generate(self.prompts, self.sampling, None, range(len(self.prompts)))


def plan(options: Options) -> Plan:
    """Compare the project's generation with one `predict` a token."""
    common = {"new_tokens": example_sizes.NEW_TOKENS, "seconds": float(options.choose(5, 1))}
    theirs = common | {"streams": 1, "device": options.device}
    variants = [Variant(REFERENCE, f"{WORKERS}:ReferenceGeneration", theirs)]
    variants += [
        Variant(
            name,
            f"{WORKERS}:ProjectGeneration",
            common | {"streams": streams, "overrides": {"device": options.device} | overrides},
        )
        for name, (streams, overrides) in OUR_VARIANTS.items()
    ]
    return Plan(
        name="generation",
        title=f"Generation, {example_sizes.NEW_TOKENS} new tokens after prompts of 2 to 9, top-k {example_sizes.TOP_K}",
        variants=variants,
        baseline=REFERENCE,
        rounds=options.choose_rounds(7, 3),
        columns=COLUMNS,
        settings=common,
    )
