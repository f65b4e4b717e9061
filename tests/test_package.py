"""The package, as `kedro package` builds it, works in a folder that has nothing but its configuration."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt_pipeline.project_folder import open_project
from tests.conftest import PROJECT

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_folder_that_is_no_project_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"has neither pyproject.toml nor conf/base. Change to .*docs/deployment.md"
    ):
        open_project(tmp_path)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Call a module of the installed wheel, in a folder where its configuration was unpacked."""
    root = tmp_path_factory.mktemp("package")
    subprocess.run(["git", "clone", "--quiet", PROJECT, root / "clone"], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", root, root / "clone"]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(root / "venv")
    packages = next((root / "venv/lib").glob("python*/site-packages"))
    with zipfile.ZipFile(next(root.glob("*.whl"))) as wheel:
        wheel.extractall(packages)
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    folder = root / "folder"
    folder.mkdir()
    subprocess.run(["cp", "-r", root / "clone/conf", folder], check=True)
    variables = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MINIGPT_", "MLFLOW_", "PYTHON"))
    }

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        python = root / "venv/bin/python"
        return subprocess.run(
            [python, "-m", *arguments],
            cwd=folder,
            env=variables | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_package_runs_serves_and_lists_versions_outside_of_the_repository(command: Command) -> None:
    absent = command("minigpt_pipeline", "--env", "test")
    assert absent.returncode == 1
    advice = "python -m minigpt_pipeline.text.synthetic_reviews "
    assert advice in absent.stderr
    written = command(*advice.split()[2:], "data/01_raw/sample_reviews.tar.gz")
    assert written.returncode == 0, written.stderr

    for pipeline in ("__default__", "promotion", "retraining", "comparison", "monitoring"):
        run = command("minigpt_pipeline", "--env", "test", "--pipelines", pipeline)
        assert run.returncode == 0, run.stderr
    versions = command("minigpt_pipeline.release", "versions")
    assert "champion" in versions.stdout, versions.stderr
    doctor = command("minigpt_pipeline.doctor")
    assert "has the experiment minigpt" in " ".join(doctor.stdout.split()), doctor.stderr
    for module in ("serving", "scheduling", "local_workers"):
        assert command(f"minigpt_pipeline.{module}", "--help").returncode == 0
