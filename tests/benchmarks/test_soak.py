"""What is made of many cycles, and of a server's load, shown on figures whose answer is known."""

import tarfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks import soak, soak_report
from benchmarks.comparisons import load
from benchmarks.stream_client import Load


def make_cycle(number: int, **changed: Any) -> dict[str, Any]:
    names = {name for _, name, _, _ in soak_report.FIGURES}
    news = soak.NEWS[(number - 1) % len(soak.NEWS)]
    return dict.fromkeys(names, 1.0) | {"cycle": number, "news": news, "rows": 50.0 + 3 * number} | changed


def test_what_grows_is_told_for_a_hundred_cycles_and_trainings_compare_with_trainings() -> None:
    cycles = [
        make_cycle(number, seconds=9.0 if soak.NEWS[(number - 1) % 10] == "new" else 0.1 * number)
        for number in range(1, 101)
    ]

    cells = {row[0]: row for row in soak_report.make_cells(cycles, cycles[:50])}

    assert cells["median of cycles"][1:4] == ["21 to 30", "51 to 60", "91 to 100"]
    assert cells["rows"] == ["rows", "126", "216", "336", "+300.00", "+300.00"]
    assert cells["seconds"][1:4] == ["9.0", "9.0", "9.0"]
    assert {slope.lstrip("+-") for slope in cells["seconds"][4:]} == {"0.00"}
    assert len(soak_report.draw(cycles, []).axes) == len(soak_report.PANELS)


def is_review(name: str) -> bool:
    return any(f"/{label}/" in name for label in ("pos", "neg"))


def test_each_batch_is_another_one_and_one_of_ten_is_poisoned(tmp_path: Path) -> None:
    for number, news in enumerate(soak.NEWS, start=1):
        soak.drop(tmp_path, news, number)

    batches = sorted(tmp_path.iterdir())
    assert len(batches) == len(soak.NEWS) - soak.NEWS.count("nothing")
    texts = []
    for batch in batches:
        with tarfile.open(batch) as archive:
            texts += [archive.extractfile(member).read() for member in archive if is_review(member.name)]  # type: ignore[union-attr]
    assert len(set(texts)) == len(texts) == soak.REVIEWS * len(batches)
    assert sum(b"<div>" in text for text in texts) == soak.REVIEWS


def test_the_figures_of_a_load_are_those_of_its_clients_and_the_server() -> None:
    seen = Load([0.1, 0.2], [1.0, 3.0], [{"new_tokens": 40}] * 2, {"HTTP/1.1 429 ...": 5, "a gap": 1}, 10.0)
    looks = [(0.0, 50, 3), (10.0, 100, 9), (20.0, 100, 9), (30.0, 110, 4)]

    figures = load.describe(seen, looks)

    assert (figures["texts"], figures["tokens_per_second"]) == (2, 8.0)
    assert (figures["refused"], figures["errors"]) == (5, 1)
    assert (figures["text_p50"], figures["first_token_p99"]) == (3.0, 0.2)
    assert (figures["memory_bytes"], figures["open_files"]) == (110, 9)
    assert figures["memory_slope"] == pytest.approx(3600)  # 10 bytes in 10 s, in the second half
