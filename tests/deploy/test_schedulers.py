"""Files for other schedulers say what conf/base/schedules.yml says; these and units are read by whom they are for."""

import ast
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from dagster._utils.schedules import is_valid_cron_schedule

from minigpt_pipeline.cli import run
from minigpt_pipeline.scheduling.schedule_settings import Schedule, read_settings

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
FOLDER = "/srv/minigpt-pipeline"


@pytest.fixture(scope="module")
def nightly() -> Schedule:
    return read_settings(PROJECT).schedules["nightly"]


def read_options(command: str) -> click.Context:
    """Read a `kedro run` as the command line does."""
    words = shlex.split(command)
    return run.make_context("run", words[words.index("run") + 1 :])


def test_the_line_of_cron_is_the_nightly_schedule(nightly: Schedule) -> None:
    (line,) = [line for line in (DEPLOY / "crontab").read_text().splitlines() if not line.startswith("#")]
    cron, command = re.fullmatch(r"((?:\S+ ){5})(.*)", line).groups()  # type: ignore[union-attr]
    change_folder, _, rest = command.partition(" && ")

    assert is_valid_cron_schedule(cron.strip())
    assert cron.strip() == nightly.cron
    assert change_folder == f"cd {FOLDER}"
    assert "%" not in line  # a new line, to cron
    options = read_options(rest.partition(" >> ")[0]).params
    assert (options["pipelines"], options["env"]) == ([nightly.pipeline], nightly.environment)
    assert options["wait"]


def test_the_dag_is_the_nightly_schedule(nightly: Schedule) -> None:
    text = (DEPLOY / "airflow_dag.py").read_text()
    tree = ast.parse(text)
    keywords = {
        keyword.arg: ast.unparse(keyword.value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
    }

    compile(text, "airflow_dag.py", "exec")
    assert keywords["schedule"] == repr(nightly.cron)
    assert keywords["retries"] == str(nightly.retries)
    assert (keywords["max_active_runs"], keywords["catchup"]) == ("1", "False")
    command = ast.literal_eval(keywords["bash_command"].replace("{PROJECT}", FOLDER).removeprefix("f"))
    options = read_options(command.partition(" && ")[2]).params
    assert (options["pipelines"], options["env"]) == ([nightly.pipeline], nightly.environment)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("minigpt-schedule", "-m minigpt_pipeline.scheduling --headless"),
        ("minigpt-serve", "-m minigpt_pipeline.serving"),
    ],
)
def test_systemd_can_read_its_units(tmp_path: Path, name: str, command: str) -> None:
    text = (DEPLOY / f"{name}.service").read_text()
    interpreter = f"{FOLDER}/.venv/bin/python"
    unit = tmp_path / f"{name}.service"
    unit.write_text(text.replace(interpreter, "/bin/true"))

    result = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert f"ExecStart={interpreter} {command}\n" in text
    assert f"Documentation=file://{FOLDER}/docs/" in text
    assert (result.returncode, result.stderr) == (0, "")
