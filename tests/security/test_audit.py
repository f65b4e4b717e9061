"""`make audit` and what bandit finds: the list of packages is that of the lock, and silence is no answer."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LOCK = (PROJECT / "requirements.lock").read_text()
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """As `make audit` writes it, once with its own command and once more to compare."""
    (command,) = re.findall(r"\$\(BIN\)/(cyclonedx-py .*)", (PROJECT / "Makefile").read_text())
    contents = []
    for _ in range(2):
        path = tmp_path_factory.mktemp("sbom") / "sbom.json"
        words = command.replace("build/sbom.json", str(path)).split()
        subprocess.run([PROGRAMS / words[0], *words[1:]], cwd=PROJECT, check=True, capture_output=True)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    return contents[0]


@pytest.mark.full
def test_the_sbom_has_each_locked_package_with_its_hashes(sbom: bytes) -> None:
    listed = json.loads(sbom)["components"]
    locked = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", LOCK, re.MULTILINE)

    assert sorted((one["name"], one["version"]) for one in listed) == sorted(locked)
    hashes = [one["hashes"] for package in listed for one in package["externalReferences"]]
    assert sum(map(len, hashes)) == LOCK.count("--hash=sha256:")
    assert all(hashes)


@pytest.mark.full
def test_the_sbom_names_no_time_and_no_index_of_this_machine(sbom: bytes) -> None:
    described = json.loads(sbom)

    assert "timestamp" not in described["metadata"]
    assert "serialNumber" not in described
    assert set(re.findall(rb"https?://([^/\"]+)/simple", sbom)) == {b"pypi.org"}


@pytest.mark.parametrize(
    ("said", "status", "code", "told"),
    [
        ("No known vulnerabilities found", 0, 0, "No package of requirements.lock has a known advisory"),
        ("Found 2 known vulnerabilities in 1 package", 1, 1, "Found 2 known vulnerabilities in 1 package"),
        ("ERROR: Dependency not found on PyPI and could not be audited: x", 1, 75, "are NOT audited"),
        ("requests.exceptions.ConnectionError: no such host", 1, 75, "are NOT audited"),
    ],
)
def test_an_audit_that_was_not_done_says_so(
    said: str, status: int, code: int, told: str, tmp_path: Path
) -> None:
    stand_in = tmp_path / "pip-audit"
    stand_in.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")
    stand_in.chmod(0o755)

    ended = subprocess.run(
        [PROJECT / ".ci/audit"],
        env={"BIN": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == code
    assert told in ended.stdout + ended.stderr


def test_continuous_integration_goes_on_without_an_answer_and_not_with_a_finding() -> None:
    assert (PROJECT / ".ci/run").read_text().splitlines()[-1] == ".ci/audit || [ $? -eq 75 ]"


@pytest.mark.full
def test_bandit_finds_a_counter_example(tmp_path: Path) -> None:
    (tmp_path / "unsafe.py").write_text("import pickle\n\n\ndef load(text):\n    return pickle.loads(text)\n")
    command = [
        PROGRAMS / "bandit",
        "--quiet",
        "--recursive",
        "--configfile",
        PROJECT / "pyproject.toml",
        tmp_path,
    ]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "B301" in ended.stdout
