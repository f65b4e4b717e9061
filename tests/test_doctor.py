import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import tensorflow as tf
from rich.console import Console

from minigpt_pipeline import doctor
from minigpt_pipeline.doctor import Finding
from minigpt_pipeline.tracking.store import TrackingSettings

PROJECT = Path(__file__).parents[1]


def only(findings: Any) -> Finding:
    (finding,) = findings
    return finding  # type: ignore[no-any-return]


@pytest.mark.slow
def test_this_machine_has_what_runs_need() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "minigpt_pipeline.doctor"],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )

    assert (result.returncode, result.stderr) == (0, "")
    for name in ("Python", "packages", "memory", "processor", "disk", "reviews", "MLflow", "GPU"):
        assert f" {name} " in result.stdout


def test_an_unknown_python_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))

    assert only(doctor.check_python()).state == "bad"


def test_packages_that_are_absent_or_of_another_version_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["pip<1", "unheard-of>=1", "numpy", 'dagster>=99; extra == "schedule"']
    monkeypatch.setattr(metadata, "requires", lambda _: lines)

    found = only(doctor.check_packages())

    assert found.state == "bad"
    assert found.found == f"pip {metadata.version('pip')}, expected <1; unheard-of is absent"
    assert found.advice == "make install"


def test_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1.25e9))

    memory, _ = doctor.check_processor()

    assert (memory.state, memory.found) == ("warning", "1.2 GB free")


def test_a_processor_without_bfloat16_is_told_the_other_precision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text("flags\t\t: fpu avx2\n")
    monkeypatch.setattr(doctor, "PROCESSOR_INFORMATION", information)

    _, processor = doctor.check_processor()
    information.write_text("flags\t\t: fpu avx512_bf16\n")
    _, better = doctor.check_processor()

    assert "precision=float32" in processor.advice
    assert better.found.endswith("cores, bfloat16")


@pytest.mark.parametrize(("free", "state"), [(0.1e9, "bad"), (1e9, "warning"), (9e9, "good")])
def test_the_disk_has_room_or_not(free: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    assert only(doctor.check_space(PROJECT)).state == state


@pytest.mark.parametrize(
    ("local_file", "filepath", "state", "found"),
    [
        ("here", "nowhere", "good", "here"),
        ("nowhere", "here", "warning", "nowhere is not there"),
        (None, "here", "good", "here"),
        (None, "nowhere", "good", "none yet: ENV=base downloads https://a.b"),
    ],
)
def test_where_the_reviews_come_from(
    local_file: str | None, filepath: str, state: str, found: str, tmp_path: Path
) -> None:
    (tmp_path / "here").touch()
    archive = SimpleNamespace(
        local_file=local_file and tmp_path / local_file, filepath=tmp_path / filepath, url="https://a.b"
    )

    finding = only(doctor.check_archive({"reviews_archive": archive}))

    assert (finding.state, finding.found.removeprefix(f"{tmp_path}/")) == (state, found)


def make_settings(uri: str) -> TrackingSettings:
    return TrackingSettings(
        tracking_uri=uri,
        artifact_location="mlartifacts",
        experiment="minigpt",
        system_metrics=False,
        system_metrics_interval=10,
    )


def test_a_store_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    finding = only(doctor.check_store(make_settings("sqlite:///mlflow.db"), tmp_path))

    assert (finding.state, finding.found) == (
        "good",
        f"sqlite:///{tmp_path}/mlflow.db is made by the first run",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_can_t_be_read_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("This is no database, and longer than its header. " * 9)

    finding = only(doctor.check_store(make_settings("sqlite:///mlflow.db"), tmp_path))

    assert finding.state == "bad"
    assert "can't be used" in finding.found


def test_a_gpu_that_tensorflow_does_not_see_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")

    finding = only(doctor.check_devices())

    assert finding.state == "warning"
    assert "CUDA_VISIBLE_DEVICES" in finding.advice


def test_advice_stands_below_what_was_found() -> None:
    console = Console(width=60, record=True)

    console.print(doctor.tabulate([Finding("disk", "1 [GB] free", "warning", "make room")]))

    text = console.export_text()
    assert "careful" in text
    assert text.index("1 [GB] free") < text.index("make room")
