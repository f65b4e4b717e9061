"""What an operator types, on a project in which a model was trained."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.docs.console import Command, Terminal, read_commands

PAGE = Path(__file__).parents[2] / "docs/operations.md"
LOAD = "python -c \"import mlflow; mlflow.pyfunc.load_model('models:/{}')\""
NOT_RUN = {
    "rm -r .venv && make install": "installs all packages",
    "python -m tests.reproducible": "tests/test_reproducible.py does it",
    "git pull && make install doctor": "needs the repository that it was cloned from",
}


def read_models(project: Path) -> list[tuple[str, str]]:
    """Return each run of a store that has a model, and the model's id."""
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute("SELECT source_run_id, model_id FROM logged_models").fetchall()


@pytest.mark.full
@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3's command is not installed")
@pytest.mark.timeout(600)
def test_every_command_works_on_a_project_that_was_moved(terminal: Terminal) -> None:
    before = terminal.project
    terminal.type(Command("source .venv/bin/activate", []))
    terminal.type(Command("kedro run --env test", []))
    terminal.project = before.rename(before.with_name("moved"))
    ((run_id, model_id),) = read_models(terminal.project)
    words = {"RUN_ID": run_id, "MODEL_ID": model_id, "OLD/": f"{before}/", "NEW/": f"{terminal.project}/"}
    for word, actual in words.items():
        terminal.put_in(word, actual)

    commands = read_commands(PAGE.read_text(encoding="utf-8"))
    for command in commands:
        if not any(command.text.startswith(begin) for begin in NOT_RUN):
            terminal.type(command)
            if command.text.startswith("sqlite3") and "UPDATE" in command.text:
                terminal.type(Command("kedro run --env test --pipelines evaluation", []))
                terminal.type(Command(LOAD.format(model_id), []))

    backup = terminal.project.with_name("mlflow-backup.db")
    with sqlite3.connect(backup) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.execute("SELECT run_uuid FROM runs").fetchall() == [(run_id,)]
    assert read_models(terminal.project) == []
    assert not [path for path in (terminal.project / "mlartifacts").rglob("*") if path.is_file()]
    assert not (terminal.project / "data/test").exists()
    assert not before.exists()
