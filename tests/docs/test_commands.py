"""What documents tell to type can be typed."""

from pathlib import Path

import pytest

from tests.docs.commands import check_command
from tests.docs.console import Command, agree, match, read_commands

PROJECT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "benchmarks/README.md",
    *(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md")),
)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_can_be_given(page: str) -> None:
    for command in read_commands((PROJECT / page).read_text(encoding="utf-8")):
        try:
            check_command(command.text)
        except ValueError as error:
            pytest.fail(f"{page}: `{command.text}`: {error}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("make runn", "No rule to make target 'runn'"),
        ("make", "no target"),
        ("make run ENVIRONMENT=base", "variables of make that are not there: ENVIRONMENT"),
        ("kedro run --pipeline training", "Kedro is about to drop --pipeline"),
        ("kedro run --pipelines trainin", "pipelines that are not there: trainin"),
        ("kedro run --env bas", "environments that are not there: bas"),
        ("kedro run --params model.heads=2,device=cpu", "parameters that are not there: model.heads"),
        ("python -m minigpt_pipeline.nothing", "no module minigpt_pipeline.nothing"),
        ("python -m minigpt_pipeline.doctor --fix", "options that are not there: --fix"),
        ("mlflow model serve", "commands that are not there: model"),
        ("mlflow models serve --uri runs:/1/model", "No such option"),
        ("echo 'one", "bash can't read it"),
    ],
)
def test_a_command_that_can_t_be_given_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_command(text)


def test_commands_are_read_with_what_is_shown_below() -> None:
    page = "Text\n```console\n$ make run  # all\n...\nMLflow\n$ a \\\n    b\n```\n```text\n$ no\n```\n"

    assert read_commands(page) == [Command("make run  # all", ["...", "MLflow"]), Command("a \\\n    b", [])]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a", "b"], ["a", "b"]),
        (["...", "b"], ["a", "b"]),
        (["a", "...", "c", "d", "..."], ["a", "c", "b", "c", "d", "e"]),
        (["│ 1) The │", "│ end │"], ["│ 1) The │", "│ of a │", "│ text │"]),
    ],
)
def test_lines_are_found(shown: list[str], printed: list[str]) -> None:
    match(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["b"], ["a", "b"]),
        (["a"], ["a", "b"]),
        (["a", "c"], ["a", "b", "c"]),
        (["...", "b", "...", "a", "..."], ["a", "b"]),
        (["a", "b"], ["a"]),
    ],
)
def test_lines_that_were_not_printed_so_are_refused(shown: list[str], printed: list[str]) -> None:
    with pytest.raises(AssertionError, match=r"not printed|more was printed"):
        match(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed", "is_same"),
    [
        ("loss 2.1571", "loss 2.1689", True),
        ("loss 2.1571", "loss 2.5", False),
        ("step 800", "step 801", False),
        ("4,000 reviews", "4,000 reviews", True),
        ("4,000 reviews", "3,999 reviews", False),
        ("0.01%", "0.31%", True),
        ("46.8%", "48.3%", False),
        ("12:30:01 train_model, 1:55 min", "09:00:59 train_model, 51.2 s", True),
        ("12:30:01 train_model, 45.1 s", "09:00:59 train_models, 51.2 s", False),
        (f"run {'a' * 32} in", f"run {'0' * 32} in", True),
        ("writes: The best scene of A is", "writes: The best scene of B was", True),
        ("writes: The best scene of A is", "writes: This movie is", False),
        ("the first ...", "the first and the last", True),
        ("the first ...", "then", False),
        ('[{"text": "the best scene of ...', '[{"text": "the best scene is", "readable": "The"}]', True),
    ],
)
def test_lines_agree_but_for_what_differs_by_its_nature(shown: str, printed: str, is_same: bool) -> None:
    assert agree(shown, printed) is is_same
