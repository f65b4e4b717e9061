"""The tutorial, command by command, as a newcomer types it."""

from pathlib import Path

import pytest

from tests.docs.console import Terminal, read_commands

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_every_command_prints_what_the_tutorial_shows(terminal: Terminal) -> None:
    commands = read_commands(PAGE.read_text(encoding="utf-8"))

    for command in commands:
        terminal.type(command)

    assert "make compare" in {command.text for command in commands}
