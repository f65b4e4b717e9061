"""Tokens a second of streams over HTTP beside the same texts written at once, and how long a first token takes.

Client and server share the machine's cores.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.comparisons.generation import SEED
from benchmarks.harness import PROJECT, Variant
from benchmarks.options import Options
from benchmarks.reference import example_sizes
from benchmarks.results import Column, Plan
from benchmarks.serve_fresh_model import make_word
from benchmarks.stream_client import put_load, quantile
from benchmarks.worker import Worker

WORKERS = "benchmarks.comparisons.serving"
OFFLINE = "written at once, 64 texts"
CLIENTS = (1, 4, 16, 64)
CHOICE = {"top_k": example_sizes.TOP_K, "top_p": None}

COLUMNS = (
    Column("tokens/s", ("medians", "tokens_per_second")),
    Column("tokens/s, ratio", ("ratios", "tokens_per_second"), "{:.2f} ×"),
    Column("first token (ms)", ("medians", "first_token"), "{:.0f}", 1000),
    Column("95 % of them", ("medians", "first_token_p95"), "{:.0f}", 1000),
)


class ServedGeneration(Worker):
    """Asks a server in a process of its own.

    Args:
        new_tokens: Of each text.
        seconds: Of a slice.
        clients: That ask at the same time.
        overrides: Of the parameters.
    """

    def __init__(self, new_tokens: int, seconds: float, clients: int, overrides: Mapping[str, Any]) -> None:
        self.new_tokens, self.seconds, self.clients = new_tokens, seconds, clients
        self.info = {"sampling": CHOICE}
        self.prompts = draw_prompts()
        command = [sys.executable, "-m", "benchmarks.serve_fresh_model", json.dumps(overrides)]
        # It ends with this process, which holds the other end of its standard input.
        self.server = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.server.stdout.readline()) if self.server.stdout else 0
        self.measure()

    def measure(self) -> dict[str, float]:
        """Ask for a slice."""
        load = put_load(
            self.port, self.clients, self.seconds, self.prompts, max_new_tokens=self.new_tokens, **CHOICE
        )
        if load.statuses or any(text["new_tokens"] != self.new_tokens for text in load.texts):
            raise ValueError(f"Expected texts of {self.new_tokens} tokens alone, got also {load.statuses}")
        return {
            "tokens_per_second": load.tokens_per_second,
            "first_token": quantile(load.first_tokens, 0.5),
            "first_token_p95": quantile(load.first_tokens, 0.95),
        }


def draw_prompts() -> list[str]:
    """Return prompts of two to nine words that the model with fresh weights knows."""
    rng = np.random.default_rng(SEED)
    return [
        " ".join(make_word(number) for number in rng.integers(2, example_sizes.VOCABULARY_SIZE, size=length))
        for length in rng.integers(2, 10, size=64)
    ]


def plan(options: Options) -> Plan:
    """Compare streams of several clients with the same texts without a server."""
    common = {"new_tokens": example_sizes.NEW_TOKENS, "seconds": float(options.choose(10, 2))}
    overrides = {"device": options.device}
    variants = [
        Variant(
            OFFLINE,
            "benchmarks.comparisons.generation:ProjectGeneration",
            common | {"streams": max(CLIENTS), "overrides": overrides},
        )
    ]
    variants += [
        Variant(
            f"served to {clients} client{'s' * (clients > 1)}",
            f"{WORKERS}:ServedGeneration",
            common | {"clients": clients, "overrides": overrides},
        )
        for clients in CLIENTS
    ]
    return Plan(
        name="serving",
        title=f"Streams over HTTP, {example_sizes.NEW_TOKENS} new tokens after prompts of 2 to 9, top-k "
        f"{example_sizes.TOP_K}; clients and server on the same cores",
        variants=variants,
        baseline=OFFLINE,
        rounds=options.choose_rounds(7, 2),
        columns=COLUMNS,
        settings=common,
    )
