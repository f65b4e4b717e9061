import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.harness import PROJECT, Measurement, Variant
from benchmarks.machine import describe_commit
from benchmarks.results import MEMORY_COLUMNS, Column, Plan, make_result, publish, ratio, summarize

COLUMNS = (
    Column("tokens/s", ("medians", "speed")),
    Column("ratio", ("ratios", "speed"), "{:.2f} ×"),
    *MEMORY_COLUMNS,
)


def make_measurement(name: str, speeds: list[float], memory: int = 0, **changes: Any) -> Measurement:
    variant = Variant(name, "module:Class", {"steps": 5}, {"file": str(PROJECT / "secret")})
    return Measurement(variant, {"speed": speeds} if speeds else {}, memory, **changes)


@pytest.fixture
def measurements() -> list[Measurement]:
    return [
        make_measurement("slow", [100.0, 50.0, 200.0], 4_000_000_000),
        make_measurement("fast", [300.0, 100.0, 500.0], 2_000_000_000),
        make_measurement("absent", [], missing="it is not installed"),
    ]


@pytest.fixture
def plan() -> Plan:
    return Plan(
        name="example",
        title="Speed of things",
        variants=(),
        baseline="slow",
        rounds=3,
        columns=COLUMNS,
        settings={"corpus": "synthetic words"},
        conclude=lambda rows: [f"{len(rows)} variants."],
    )


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    # 3, 2 and 2.5 times; the medians, 300 and 100, would say 3.
    assert ratio([300.0, 100.0, 500.0], [100.0, 50.0, 200.0]) == 2.5


def test_medians_and_ratios_are_those_of_each_variant(measurements: list[Measurement]) -> None:
    slow, fast, absent = summarize(measurements, "slow")

    assert slow["medians"]["speed"] == 100.0
    assert fast["medians"]["speed"] == 300.0
    assert fast["ratios"] == {"speed": 2.5, "peak_memory_bytes": 0.5}
    assert slow["ratios"] == {"speed": 1.0, "peak_memory_bytes": 1.0}
    assert absent["ratios"] == {}


def test_a_result_says_what_is_needed_to_repeat_it(plan: Plan, measurements: list[Measurement]) -> None:
    result = make_result(plan, measurements, describe_commit(), is_quick=True)

    assert result["machine"].keys() >= {"processor", "cores", "instruction_sets", "memory_bytes"}
    assert result["versions"].keys() >= {"python", "tensorflow", "keras"}
    assert result["commit"].keys() == {"hash", "dirty"}
    assert result["settings"] == {"corpus": "synthetic words", "rounds": 3, "fresh_processes": False}
    assert result["variants"][1]["samples"] == {"speed": [300.0, 100.0, 500.0]}
    assert result["is_quick"] is True
    assert result["notes"] == ["3 variants."]


def test_a_result_names_neither_paths_nor_the_host(plan: Plan, measurements: list[Measurement]) -> None:
    text = json.dumps(make_result(plan, measurements, describe_commit(), is_quick=False))

    for private in (str(PROJECT), str(Path.home()), socket.gethostname()):
        assert f'{private}"' not in text
        assert f"{private}/" not in text


def test_a_result_is_written_and_printed(plan: Plan, measurements: list[Measurement], tmp_path: Path) -> None:
    printed = io.StringIO()
    result = make_result(plan, measurements, describe_commit(), is_quick=False)

    publish(result, plan.columns, tmp_path, Console(file=printed, width=200))

    assert json.loads((tmp_path / "example.json").read_text()) == result
    lines = (tmp_path / "example.md").read_text().splitlines()
    assert lines[:3] == [
        "# Speed of things",
        "",
        "|  | tokens/s | ratio | peak memory (GB) | memory, ratio |",
    ]
    assert lines[4:7] == [
        "| slow | 100 | 1.00 × | 4.00 | 1.00 × |",
        "| fast | 300 | 2.50 × | 2.00 | 0.50 × |",
        "| absent: it is not installed | – | – | – | – |",
    ]
    assert lines[-1] == "- 3 variants."
    assert "2.50 ×" in printed.getvalue()
