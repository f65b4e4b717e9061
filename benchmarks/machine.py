"""On what a result was measured. No path and no host name: a result is published."""

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import PROJECT
from minigpt_pipeline.commit import read_commit

INSTRUCTION_SETS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "bf16",
    "sve",
)
"""Those that decide how fast matrices are multiplied, as Linux names them."""

PACKAGES = (
    "minigpt-pipeline",
    "tensorflow",
    "keras",
    "torch",
    "numpy",
    "pyarrow",
    "pandas",
    "kedro",
    "mlflow",
)


def describe_machine() -> dict[str, Any]:
    """Return `processor`, `cores` (that this process may use), `instruction_sets`, `memory_bytes`, `system`."""
    processor_info = Path("/proc/cpuinfo")
    text = processor_info.read_text() if processor_info.exists() else ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in known],
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe_versions() -> dict[str, str]:
    """Return the version of Python and of each package that is installed, without importing any."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def describe_commit() -> dict[str, Any]:
    """Return `hash` and `dirty` of the checkout's commit; see `minigpt_pipeline.commit`."""
    return read_commit(PROJECT)._asdict()


def fingerprint(*facts: Mapping[str, Any]) -> str:
    """Return eight letters that differ where a fact differs."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
