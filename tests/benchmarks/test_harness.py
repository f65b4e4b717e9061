import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.harness import BenchmarkError, Variant, measure

WORKERS = "tests.benchmarks.workers"


def silent(_: str) -> None:
    """Show nothing."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "diary"


def diary(name: str, file: Path, **settings: Any) -> Variant:
    return Variant(name, f"{WORKERS}:Diary", {"name": name, **settings}, {"file": str(file)})


def test_variants_take_turns_in_alternating_order(file: Path) -> None:
    variants = [diary("a", file), diary("b", file), diary("c", file)]

    measure(variants, 3, silent)

    assert file.read_text() == "abccbaabc"


def test_each_variant_keeps_its_samples(file: Path) -> None:
    measured = measure([diary("a", file, value=2.0), diary("b", file, value=3.0)], 2, silent)

    assert [m.samples["value"] for m in measured] == [[2.0, 2.0], [3.0, 3.0]]
    assert [m.variant.name for m in measured] == ["a", "b"]


@pytest.mark.parametrize(("is_fresh", "num_processes"), [(False, 1), (True, 3)])
def test_a_variant_has_one_process_or_one_each_round(file: Path, is_fresh: bool, num_processes: int) -> None:
    (measured,) = measure([diary("a", file)], 3, silent, fresh_processes=is_fresh)

    assert len(set(measured.samples["process"])) == num_processes


@pytest.mark.parametrize("is_fresh", [False, True])
def test_a_missing_variant_says_why_and_the_others_go_on(file: Path, is_fresh: bool) -> None:
    variants = [Variant("absent", f"{WORKERS}:Absent"), diary("a", file)]

    absent, present = measure(variants, 2, silent, fresh_processes=is_fresh)

    assert (absent.missing, absent.samples) == ("it is not installed", {})
    assert len(present.samples["value"]) == 2


def test_a_failing_variant_is_named_with_its_error() -> None:
    with pytest.raises(BenchmarkError, match=r"(?s)'failing' ended with code 1.*ValueError: no luck today"):
        measure([Variant("failing", f"{WORKERS}:Failing")], 1, silent)


def test_peak_memory_is_that_of_the_variant_alone() -> None:
    sizes = (100, 0)
    held = b"x" * (300 << 20)  # of the process that measures

    hungry, modest = measure(
        [Variant(str(size), f"{WORKERS}:Hungry", {"megabytes": size}) for size in sizes], 1, silent
    )

    assert 100e6 < hungry.peak_memory_bytes - modest.peak_memory_bytes < 150e6
    assert modest.peak_memory_bytes < len(held)


def test_no_process_outlives_the_measurement() -> None:
    (measured,) = measure([Variant("parent", f"{WORKERS}:Parent")], 1, silent)

    processes = [int(measured.samples[name][0]) for name in ("process", "child")]
    deadline = time.monotonic() + 10
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [is_running(process) for process in processes] == [False, False]


def is_running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_progress_is_shown(file: Path) -> None:
    lines: list[str] = []

    measure([diary("a", file)], 2, lines.append)

    assert "a: writing" in lines
    assert lines[-1] == "round 2 of 2 done, 0.0 minutes left"
