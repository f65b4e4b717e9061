"""From samples to medians, ratios, a JSON file and a table."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Measurement, Variant
from benchmarks.machine import describe_machine, describe_versions
from minigpt_pipeline.commit import Commit, shorten_commit
from minigpt_pipeline.files import replacing

FORMAT_VERSION = 1
PEAK_MEMORY = "peak_memory_bytes"
NOTHING = "–"

Row = dict[str, Any]
"""What is known of a variant, as it stands in the JSON file; see `summarize`."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        header: Its title, with the unit.
        place: Where the value stands in a row, such as `("medians", "seconds")`.
        pattern: How a number is written, for `str.format`; a text stands as it is.
        scale: What a number is multiplied by before.
    """

    header: str
    place: tuple[str, ...]
    pattern: str = "{:,.0f}"
    scale: float = 1.0

    def show(self, row: Row) -> str:
        """Return the value as text."""
        value: Any = row
        for name in self.place:
            value = value.get(name) if value else None
        if value is None:
            return NOTHING
        return value if isinstance(value, str) else self.pattern.format(value * self.scale)


MEMORY_COLUMNS = (
    Column("peak memory (GB)", (PEAK_MEMORY,), "{:.2f}", 1e-9),
    Column("memory, ratio", ("ratios", PEAK_MEMORY), "{:.2f} ×"),
)


def no_notes(_: Sequence[Row]) -> list[str]:
    """Add nothing to the table."""
    return []


@dataclass(frozen=True)
class Plan:
    """A comparison that is ready to be measured.

    Args:
        name: Of its files.
        title: What is compared with what.
        variants: What is measured, in the order of the table.
        baseline: Name of the variant that all others are divided by.
        rounds: Slices of each variant.
        columns: Of the table, after the name.
        settings: What a reader needs to know to repeat it.
        fresh_processes: See `harness.measure`.
        conclude: Adds to the rows what follows from several of them, and returns lines to write below the table.
    """

    name: str
    title: str
    variants: Sequence[Variant]
    baseline: str
    rounds: int
    columns: Sequence[Column]
    settings: dict[str, Any] = field(default_factory=dict)
    fresh_processes: bool = False
    conclude: Callable[[Sequence[Row]], list[str]] = no_notes


def summarize(measurements: Sequence[Measurement], baseline: str) -> list[Row]:
    """Take medians, and ratios to the baseline.

    A ratio is the median of the ratios of the rounds: within a round the machine was as fast for one as for the other.

    Args:
        measurements: Of all variants.
        baseline: Name of the variant to divide by.

    Returns:
        For each variant `name`, `worker`, `settings`, `info`, `missing`, `samples`, `medians`, `ratios` (by name of the
        value; also of the peak memory, which is no median) and `peak_memory_bytes` (null where nothing was measured).
    """
    reference = next(m for m in measurements if m.variant.name == baseline)
    return [_summarize(measurement, reference) for measurement in measurements]


def _summarize(measurement: Measurement, reference: Measurement) -> Row:
    shared = measurement.samples.keys() & reference.samples.keys()
    ratios = {
        name: ratio(measurement.samples[name], reference.samples[name])
        for name in measurement.samples
        if name in shared
    }
    if measurement.peak_memory_bytes and reference.peak_memory_bytes:
        ratios[PEAK_MEMORY] = measurement.peak_memory_bytes / reference.peak_memory_bytes
    return {
        "name": measurement.variant.name,
        "worker": measurement.variant.worker,
        "is_listed": measurement.variant.is_listed,
        "settings": dict(measurement.variant.settings),
        "info": measurement.info,
        "missing": measurement.missing,
        "samples": measurement.samples,
        "medians": {name: median(values) for name, values in measurement.samples.items()},
        "ratios": ratios,
        PEAK_MEMORY: measurement.peak_memory_bytes or None,
    }


def ratio(samples: Sequence[float], reference_samples: Sequence[float]) -> float:
    """Return the median over the rounds of the ratio of two samples of the same round."""
    return median(sample / reference for sample, reference in zip(samples, reference_samples, strict=True))


def make_result(
    plan: Plan, measurements: Sequence[Measurement], commit: dict[str, Any], is_quick: bool
) -> dict[str, Any]:
    """Gather all that is known of a comparison.

    Args:
        plan: What was compared.
        measurements: Of its variants.
        commit: What `describe_commit` said before anything was measured.
        is_quick: Whether it was measured in a hurry.
    """
    rows = summarize(measurements, plan.baseline)
    notes = plan.conclude(rows)
    return {
        "format_version": FORMAT_VERSION,
        "name": plan.name,
        "title": plan.title,
        "is_quick": is_quick,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "commit": commit,
        "settings": plan.settings | {"rounds": plan.rounds, "fresh_processes": plan.fresh_processes},
        "baseline": plan.baseline,
        "variants": rows,
        "notes": notes,
    }


def write_json(path: Path, content: object) -> None:
    """Write a JSON file beside its place and rename it."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def publish(result: dict[str, Any], columns: Sequence[Column], folder: Path, console: Console) -> None:
    """Write a result as JSON and Markdown, and print its table.

    Args:
        result: What `make_result` returns.
        columns: Of the table.
        folder: Where `NAME.json` and `NAME.md` are written.
        console: Where the table is printed.
    """
    lines = [describe_circumstances(result), *result["notes"]]
    cells = make_cells(result["variants"], columns)
    write_json(folder / f"{result['name']}.json", result)
    with replacing(folder / f"{result['name']}.md") as partial:
        partial.write_text(make_markdown(result["title"], cells, lines), encoding="utf-8")
    table = Table(*cells[0], title=result["title"], box=box.SIMPLE_HEAD, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in cells[1:]:
        table.add_row(*row)
    console.print(table)
    for line in lines:
        console.print(line, highlight=False)


def make_cells(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    """Return the texts of the table, the header first; a variant that is missing has the reason in its name."""
    cells = [["", *(column.header for column in columns)]]
    for row in rows:
        if row["is_listed"]:
            name = f"{row['name']}: {row['missing']}" if row["missing"] else row["name"]
            cells.append([name, *(column.show(row) for column in columns)])
    return cells


def make_markdown(title: str, cells: Sequence[Sequence[str]], lines: Sequence[str]) -> str:
    """Return a page with a table and lines below it."""
    header, *rows = ("| " + " | ".join(row) + " |" for row in cells)
    rule = "|" + "---|" + "---:|" * (len(cells[0]) - 1)
    return "\n".join([f"# {title}", "", header, rule, *rows, "", *(f"- {line}" for line in lines), ""])


def describe_circumstances(result: dict[str, Any]) -> str:
    """Say in a line where and how a result was measured."""
    machine, versions = result["machine"], result["versions"]
    instruction_sets = ", ".join(machine["instruction_sets"]) or "instruction sets unknown"
    return (
        f"Rounds, interleaved: {result['settings']['rounds']}{', quick' if result['is_quick'] else ''}; "
        f"{machine['processor']}, {machine['cores']} cores ({instruction_sets}), "
        f"{machine['memory_bytes'] / 1e9:.0f} GB; Python {versions['python']}, "
        f"TensorFlow {versions.get('tensorflow', 'none')}, Keras {versions.get('keras', 'none')}; "
        f"commit {show_commit(result)}; {result['measured_at']}."
    )


def show_commit(result: Mapping[str, Any]) -> str:
    """Return the commit that was measured, short, with `-dirty` behind it where something differed from it."""
    return shorten_commit(str(Commit(**result["commit"])))
