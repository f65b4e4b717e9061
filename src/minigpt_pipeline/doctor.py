"""`python -m minigpt_pipeline.doctor`: whether this machine has what the pipelines need, and what to do where not."""

import argparse
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from minigpt_pipeline.project_folder import open_project
from minigpt_pipeline.project_lock import find_holder, is_held
from minigpt_pipeline.quiet import quieten

DISTRIBUTION = "minigpt-pipeline"
SPACE_NEEDED = {"sample": 0.5, "base": 3.0}
"""GB of disk that a run takes: archive, tables, two checkpoints, the model and what MLflow keeps of it."""
MEMORY_NEEDED = 4.0
"""GB that a training of `base` takes at most (benchmarks/results/training.md has 2)."""
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Instructions with which a processor multiplies in bfloat16, as Linux names them."""

PROCESSOR_INFORMATION = Path("/proc/cpuinfo")

MARKS = {"good": "[green]ok[/green]", "warning": "[yellow]careful[/yellow]", "bad": "[red]missing[/red]"}


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what was found.

    Args:
        name: In a word or two.
        found: What is there.
        state: `bad` keeps a pipeline from running, `warning` makes it slow or a part of it fail.
        advice: What to do about it.
    """

    name: str
    found: str
    state: Literal["good", "warning", "bad"] = "good"
    advice: str = ""


def check_python() -> Iterator[Finding]:
    """Look at the interpreter."""
    is_known = sys.version_info[:2] in {(3, 11), (3, 12)}
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding(
        "Python", found, "good" if is_known else "bad", "" if is_known else "take 3.11 or 3.12: make install"
    )


def check_packages() -> Iterator[Finding]:
    """Hold the installed versions against those that pyproject.toml asks for."""
    wrong = []
    requirements = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    needed = [each for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    for requirement in needed:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is absent")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, expected {requirement.specifier}")
    main = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("kedro", "tensorflow", "keras", "mlflow")
    )
    if wrong:
        yield Finding("packages", "; ".join(wrong), "bad", "make install")
    else:
        yield Finding("packages", f"{len(needed)} as pyproject.toml asks: {main}")


def check_processor() -> Iterator[Finding]:
    """Look at cores, memory and instructions."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().available / 1e9
    is_enough = memory >= MEMORY_NEEDED
    yield Finding(
        "memory",
        f"{memory:.1f} GB free",
        "good" if is_enough else "warning",
        "" if is_enough else f"a training of `base` takes up to {MEMORY_NEEDED:.0f} GB: end other programs",
    )
    has_information = PROCESSOR_INFORMATION.exists()
    text = PROCESSOR_INFORMATION.read_text(encoding="utf-8") if has_information else ""
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    if known and not known & set(BFLOAT16):
        advice = "`base` trains faster in float32: --params precision=float32"
        yield Finding("processor", f"{cores} cores, no bfloat16 instructions", "warning", advice)
    else:
        yield Finding("processor", f"{cores} cores" + (", bfloat16" if known else ""))


def check_devices() -> Iterator[Finding]:
    """Ask TensorFlow what it computes on."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    if names:
        yield Finding("GPU", ", ".join(names))
    elif shutil.which("nvidia-smi"):
        advice = "pip install --editable '.[gpu]', and look at CUDA_VISIBLE_DEVICES (docs/gpu.md)"
        yield Finding("GPU", "nvidia-smi is there, but TensorFlow sees no GPU", "warning", advice)
    else:
        yield Finding("GPU", "none: models train on the CPU")


def check_space(project: Path) -> Iterator[Finding]:
    """Look at the disk of the project."""
    free = shutil.disk_usage(project).free / 1e9
    for environment, needed in SPACE_NEEDED.items():
        if free < needed:
            state: Literal["warning", "bad"] = "bad" if environment == "sample" else "warning"
            yield Finding("disk", f"{free:.1f} GB free", state, f"ENV={environment} takes {needed} GB")
            return
    yield Finding("disk", f"{free:.1f} GB free")


def check_archive(catalog: Any) -> Iterator[Finding]:
    """Say where the reviews of `base` come from."""
    archive = catalog["reviews_archive"]
    if archive.local_file is not None:
        if archive.local_file.is_file():
            yield Finding("reviews", str(archive.local_file))
        else:
            advice = "correct MINIGPT_IMDB_ARCHIVE, or unset it"
            yield Finding("reviews", f"{archive.local_file} is not there", "warning", advice)
    elif archive.filepath.is_file():
        yield Finding("reviews", str(archive.filepath))
    else:
        yield Finding("reviews", f"none yet: ENV=base downloads {archive.url}")


def check_store(settings: Any, project: Path) -> Iterator[Finding]:
    """Ask the MLflow store for its experiment."""
    from minigpt_pipeline.tracking.store import TrackingStoreError, describe_store

    try:
        yield Finding("MLflow", describe_store(settings, project))
    except TrackingStoreError as error:
        yield Finding("MLflow", str(error), "bad", "")


def check_lock(project: Path) -> Iterator[Finding]:
    """Say who is at work in the project, where somebody is."""
    if is_held(project):
        holder = find_holder(project)
        yield Finding(
            "at work", f"{holder or 'another `kedro run`'}", advice="another run waits for it with --wait"
        )


def examine(project: Path) -> Iterator[Finding]:
    """Look at everything, the quick things first.

    Args:
        project: Its root.
    """
    yield from check_python()
    yield from check_packages()
    yield from check_processor()
    yield from check_space(project)
    catalog, settings = _read_configuration(project)
    yield from check_lock(project)
    yield from check_archive(catalog)
    yield from check_store(settings, project)
    yield from check_devices()


def _read_configuration(project: Path) -> tuple[Any, Any]:
    from kedro.framework.session import KedroSession

    from minigpt_pipeline.tracking.store import TrackingSettings

    open_project(project)
    with KedroSession.create(project, env="base") as session:
        context = session.load_context()
        return context.catalog, TrackingSettings(**context.config_loader["mlflow"])


def tabulate(findings: list[Finding]) -> Table:
    """Lay findings out, each with what to do."""
    table = Table(show_header=False)
    for finding in findings:
        advice = f"\n[bold]{escape(finding.advice)}[/bold]" if finding.advice else ""
        table.add_row(MARKS[finding.state], finding.name, escape(finding.found) + advice)
    return table


def main(arguments: list[str] | None = None) -> int:
    """Print what was found; 1 where something is missing."""
    argparse.ArgumentParser(prog="make doctor", description=__doc__).parse_args(arguments)
    quieten()
    console = Console(highlight=False)
    with console.status("Looking at this machine ..."):
        findings = list(examine(Path.cwd()))
    console.print(tabulate(findings))
    return int(any(finding.state == "bad" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
