"""A server under load for an hour: 1, 4, 16 and 64 clients, more than it takes on, and what it is like behind that.

Only when it is asked for by name. One server answers all phases, in their order, so that what it would lose or keep in
one shows in the next. `--project` takes the server of a project, as `make serve` starts it, and its champion; without,
it serves a model with fresh weights of the example's sizes. Client and server share the machine's cores.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil

from benchmarks.comparisons.serving import CHOICE, CLIENTS, draw_prompts
from benchmarks.harness import PROJECT, Variant
from benchmarks.options import Options
from benchmarks.reference import example_sizes
from benchmarks.results import Column, Plan, Row
from benchmarks.stream_client import Load, put_load, quantile
from benchmarks.worker import Worker

SERVER = "the server"
BEFORE, OVERLOAD, BEHIND = "4 clients, before", "overload", "4 clients, behind it"
OVERLOADED_BY = 400
"""Clients: the server has 64 slots, and lets 128 texts wait."""
OVERLOAD_SHARE = 1 / 20
"""Of the minutes of a phase: half a minute of ten."""
BETWEEN_LOOKS = 10.0
"""Seconds between two looks at memory and open files."""
REFUSED = "429"
PROMPTS = ("the best scene", "this movie", "i was surprised by")
"""For the model of a project, which knows words."""
SHARES = (50, 95, 99)

COLUMNS = (
    Column("texts", ("medians", "texts")),
    Column("tokens/s", ("medians", "tokens_per_second")),
    *(Column(f"first token, p{p} (ms)", ("medians", f"first_token_p{p}"), "{:,.0f}", 1000) for p in SHARES),
    *(Column(f"text, p{p} (s)", ("medians", f"text_p{p}"), "{:,.2f}") for p in SHARES),
    Column("refused", ("medians", "refused")),
    Column("errors", ("medians", "errors")),
    Column("memory (MB)", ("medians", "memory_bytes"), "{:,.0f}", 1e-6),
    Column("memory, MB an hour", ("medians", "memory_slope"), "{:+,.1f}", 1e-6),
    Column("open files", ("medians", "open_files")),
)


class LoadedServer(Worker):
    """Puts all loads on one server, one behind the other.

    Args:
        minutes: Of each phase.
        overloaded_by: Clients of the overload.
        overrides: Of the parameters of a model with fresh weights.
        project: Whose champion is served; empty for fresh weights.
        file: Where what was measured is written, in the order of time.
    """

    def __init__(
        self, minutes: float, overloaded_by: int, overrides: Mapping[str, Any], project: str, file: str
    ) -> None:
        self.seconds, self.overloaded_by, self.file = 60 * minutes, overloaded_by, Path(file)
        self.fields: dict[str, Any] = {"max_new_tokens": example_sizes.NEW_TOKENS}
        self.fields |= {} if project else CHOICE
        self.prompts = list(PROMPTS) if project else draw_prompts()
        command = [sys.executable, "-m"]
        command += (
            ["minigpt_pipeline.serving", "--port", "0"]
            if project
            else ["benchmarks.serve_fresh_model", json.dumps(overrides)]
        )
        # That of fresh weights ends with this process; the harness ends both, as they are of one session.
        self.server = subprocess.Popen(
            command,
            cwd=project or PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if project else None,
            text=True,
        )
        self.port = self._read_port()
        self.info = {"served": self._describe()}
        put_load(self.port, max(CLIENTS), 1.0, self.prompts, **self.fields)  # compiles what it needs

    def _read_port(self) -> int:
        for line in self.server.stdout or ():
            words = line.replace("http://127.0.0.1:", "").split()
            if words and words[0].isdecimal():
                return int(words[0])
        raise ValueError(f"The server has ended with code {self.server.wait()} before it said its port")

    def _describe(self) -> str:
        while True:
            load = put_load(self.port, 1, 0.1, self.prompts, **self.fields)
            if load.texts:
                return str(load.texts[0].get("version", "fresh weights"))
            if self.server.poll() is not None:
                raise ValueError(f"The server has ended with code {self.server.returncode}")

    def measure(self) -> dict[str, float]:
        """Put each load on it, and write what that came to."""
        phases: list[dict[str, Any]] = []
        many = OVERLOAD_SHARE * self.seconds
        plan = [(f"{clients} client{'s' * (clients > 1)}", clients, self.seconds) for clients in CLIENTS]
        plan += [(BEFORE, 4, many), (f"{OVERLOAD}, {self.overloaded_by} clients", self.overloaded_by, many)]
        plan += [(BEHIND, 4, many)]
        for name, clients, seconds in plan:
            looks: list[tuple[float, int, int]] = []
            with watching(self.server.pid, looks):
                load = put_load(self.port, clients, seconds, self.prompts, **self.fields)
            phases.append(
                {"name": name, "figures": describe(load, looks), "statuses": load.statuses, "looks": looks}
            )
            self.report(
                f"{name}: {load.tokens_per_second:,.0f} tokens/s, other answers {load.statuses or 'none'}"
            )
        self.file.write_text(json.dumps(phases), encoding="utf-8")
        return {"tokens_per_second": phases[len(CLIENTS) - 1]["figures"]["tokens_per_second"]}


@contextmanager
def watching(process_id: int, looks: list[tuple[float, int, int]]) -> Iterator[None]:
    """Look at memory and open files of a process now and then, and once at the end.

    Args:
        process_id: Of the server.
        looks: Gets seconds since the first look, bytes, and open files.
    """
    process, ended = psutil.Process(process_id), threading.Event()
    started = process.create_time()

    def look() -> None:
        looks.append((round(time.time() - started, 1), process.memory_info().rss, process.num_fds()))

    def go_on() -> None:
        look()
        while not ended.wait(BETWEEN_LOOKS):
            look()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()


def describe(load: Load, looks: Sequence[tuple[float, int, int]]) -> dict[str, float]:
    """Return the figures of a phase.

    Args:
        load: What its clients have seen.
        looks: At the server: seconds, bytes, open files.
    """
    refused = sum(count for status, count in load.statuses.items() if REFUSED in status)
    seconds, memory, files = zip(*looks, strict=True)
    half = len(looks) // 2  # the first part of a phase fills what is filled once
    slope = float(np.polyfit(seconds[half:], memory[half:], 1)[0]) if len(looks) - half > 1 else 0.0
    return {
        "texts": len(load.texts),
        "tokens_per_second": load.tokens_per_second,
        **{f"first_token_p{p}": quantile(load.first_tokens, p / 100) for p in SHARES},
        **{f"text_p{p}": quantile(load.text_seconds, p / 100) for p in SHARES},
        "refused": refused,
        "errors": sum(load.statuses.values()) - refused,
        "memory_bytes": max(memory),
        "memory_slope": 3600 * slope,
        "open_files": max(files),
    }


def conclude(rows: list[Row], file: Path) -> list[str]:
    """Add a row for each phase, and say what follows from them."""
    phases = json.loads(file.read_text(encoding="utf-8"))
    rows += [
        {
            "name": phase["name"],
            "is_listed": True,
            "missing": "",
            "medians": phase["figures"],
            "statuses": phase["statuses"],
            "looks": phase["looks"],
        }
        for phase in phases
    ]
    figures = {phase["name"]: phase["figures"] for phase in phases}
    before, behind = figures[BEFORE]["text_p50"], figures[BEHIND]["text_p50"]
    return [
        f"A text of 4 clients takes {before:.2f} s before the overload and {behind:.2f} s behind it, "
        f"{behind / before:.2f} × (p50).",
        "Memory is the largest resident memory of the server in a phase; its slope is that of the second half.",
    ]


def plan(options: Options) -> Plan:
    """Put loads on one server."""
    minutes = options.minutes if options.minutes is not None else options.choose(10, 1) * 1.0
    settings: dict[str, Any] = {"minutes": minutes, "overloaded_by": OVERLOADED_BY}
    settings["overrides"] = {"device": options.device}
    file = options.folder / "phases.json"
    served = "the project's champion" if options.project else "fresh weights of the example's sizes"
    return Plan(
        name="load",
        title=f"A server under load, {minutes:g} minutes a phase, {example_sizes.NEW_TOKENS} new tokens a text, "
        f"{served}; clients and server on the same cores",
        variants=[
            Variant(
                SERVER,
                "benchmarks.comparisons.load:LoadedServer",
                settings,
                {"project": str(options.project or ""), "file": str(file)},
                is_listed=False,
            )
        ],
        baseline=SERVER,
        rounds=1,
        columns=COLUMNS,
        settings=settings,
        conclude=lambda rows: conclude(cast(list[Row], rows), file),
    )
