"""README, command by command, but for what takes too long."""

import re
from pathlib import Path

import pytest

from minigpt_pipeline.pipeline_registry import register_pipelines
from tests.docs.commands import check_command
from tests.docs.console import Terminal, match, read_commands

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"

NOT_RUN = {
    "make test": "this test is one of them",
    "make run ENV=base": "downloads the real reviews and trains for an hour",
    "kedro run --env base": "trains on the real reviews for an hour",
    "python -m benchmarks.choose_sampling --env base": "needs a model of the real reviews",
    "make samples ENV=base": "needs a model of the real reviews",
    "make sweep ENV=base": "takes a night",
    "$EDITOR": "waits for a person",
}
"""Beginnings of commands, and why each is only read."""


def test_it_names_every_target_environment_pipeline_and_document() -> None:
    page = README.read_text(encoding="utf-8")
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) - {"help"}
    environments = {path.parent.name for path in (PROJECT / "conf").glob("*/*.yml")}
    documents = {f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md")}

    listed = page.partition("## Make targets")[2].partition("\n## ")[0]
    assert {target for target in targets if f"`{target}`" not in listed} == set()
    assert {name for name in environments | set(register_pipelines()) if f"`{name}`" not in page} == {
        "__default__"
    }
    assert {path for path in documents if f"({path})" not in page} == set()


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_commands_work_and_the_last_screen_is_as_shown(terminal: Terminal) -> None:
    page = README.read_text(encoding="utf-8")
    last_screen = re.findall(r"^```text\n(On texts that .*?)^```$", page, re.MULTILINE | re.DOTALL)
    not_run = set(NOT_RUN)

    for command in read_commands(page):
        if reasons := [begin for begin in NOT_RUN if command.text.startswith(begin)]:
            check_command(command.text)
            not_run -= set(reasons)
            continue
        printed = terminal.type(command)
        if command.text.startswith("make run "):
            match(["...", *last_screen[0].splitlines()], printed)
            (run_id,) = (line.split()[2] for line in printed if line.startswith("MLflow  run"))
            terminal.put_in("RUN_ID", run_id)

    assert not not_run, "README has no such command any more"
