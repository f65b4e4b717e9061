"""Reviews, prompts and served texts that are code somewhere, through pipelines, in a browser and a terminal."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page
from rich.console import Console

from minigpt_pipeline.hidden import escape, show_controls
from minigpt_pipeline.text.served_text import write_line
from tests.served import make_text
from tests.ui.conftest import browser, browser_path  # noqa: F401 -- fixtures of the tests here, too

HOSTILE = (
    "<script>window.hit = 1; alert(1)</script>",
    "\"><img src=x onerror='window.hit = 1; alert(2)'>",
    "</style></script></textarea><svg onload=window.hit=1>",
    "<a href=javascript:window.hit=1>the film</a><iframe srcdoc='<script>top.hit=1</script>'></iframe>",
    "{{7*7}} ${7*7} <%= 7*7 %> {% raw %}",
    "[red]markup[/red] [link=file:///etc/passwd]a[/link]",
    "\x1b]0;owned\x07 \x1b[2J\x1b[31m \x9b31m \u202egnp",
)
TEXT = " ".join(HOSTILE)
COMMANDS = ("\x1b", "\x07", "\x9b", "\u202e")
PATIENCE = 600
"""Seconds for a command."""


def add_reviews(archive: Path) -> None:
    """Let every fiftieth review end with what is hostile, and add some that are refused, with it as their example."""
    content = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=content, mode="w:gz") as new:
        for number, member in enumerate(old):
            file = old.extractfile(member)
            text = file.read() if file else b""
            if number % 50 == 0 and member.name.endswith(".txt") and "urls" not in member.name:
                text += f" {TEXT}".encode()
            member.size = len(text)
            new.addfile(member, io.BytesIO(text))
        for number, text in enumerate([TEXT, TEXT, HOSTILE[0], "<b></b>", HOSTILE[1] * 3000], 90_000):
            member = tarfile.TarInfo(f"aclImdb/train/pos/{number}_9.txt")
            member.size = len(text.encode())
            new.addfile(member, io.BytesIO(text.encode()))
    archive.write_bytes(content.getvalue())


@pytest.fixture(scope="module")
def project(make_project: Callable[[str], Path]) -> Path:
    project = make_project("hostile")
    shutil.copytree(project / "conf/test", project / "conf/hostile")
    add_reviews(project / "data/01_raw/sample_reviews.tar.gz")
    prompts = [
        f"the best scene {text}".replace("${", r"\${") for text in HOSTILE
    ]  # else a place in the configuration
    generation = {"generation": {"prompts": prompts, "quality_texts": None}}
    (project / "conf/hostile/parameters_generation.yml").write_text(yaml.safe_dump(generation))
    # Its own loss is of texts that the grammar can write.
    (project / "conf/hostile/parameters_evaluation.yml").write_text("evaluation: {known_source: null}\n")
    (project / "conf/hostile/parameters_incoming.yml").write_text("incoming: {language: null}\n")
    (project / "data/01_raw/incoming/<img src=x onerror=alert(3)>.txt").write_text(
        "\n".join([TEXT, *HOSTILE] * 30)
    )
    served = project / "data/01_raw/served"
    served.mkdir(parents=True)
    now = datetime.now(UTC)
    lines = [
        write_line(
            make_text(at=now.isoformat(timespec="milliseconds"), data="data/test", prompt=text, text=TEXT),
            True,
        )
        for text in HOSTILE * 20
    ]
    (served / f"{now:%Y-%m-%d}.jsonl").write_bytes(b"".join(lines))
    return project


def run(project: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MINIGPT_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "kedro", "run", *arguments],
        cwd=project, capture_output=True, timeout=PATIENCE, check=False,
        env=kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    said = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def said(project: Path) -> str:
    """What the pipelines have said, all of them that write pages."""
    return "".join(
        run(project, *arguments)
        for arguments in (
            ["--env", "hostile"],
            ["--env", "hostile", "--pipelines", "incoming,monitoring"],
            ["--pipelines", "comparison"],
        )
    )


def visit(page: Page, path: Path) -> list[str]:
    """Open a page, unfold all of it, and return what it asked for, complained of or ran."""
    troubles: list[str] = []
    page.on("dialog", lambda dialog: (troubles.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: troubles.append(f"request {request.url}"))
    page.on("console", lambda message: troubles.append(f"console {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error {error}"))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.wait_for_timeout(300)
    if page.evaluate("window.hit"):
        troubles.append("a text was run")
    if page.locator("img[src=x], svg[onload], iframe, a[href^=javascript]").count():
        troubles.append("a text became HTML")
    own = (f"request {path.as_uri()}", "request data:")
    return [one for one in troubles if not one.startswith(own)]


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_no_page_runs_a_text_and_no_terminal_obeys_one(
    project: Path,
    said: str,
    browser: Browser,  # noqa: F811
) -> None:
    pages = sorted(path for path in project.rglob("data/*/**/*.html") if "data_docs" not in path.parts[-3:])
    own = [path for path in pages if "validation_data_docs" not in path.parts]
    assert {path.name for path in own} >= {
        "validation.html",
        "incoming.html",
        "monitoring.html",
        "comparison.html",
    }
    context = browser.new_context()
    for path in own:
        assert (path.name, visit(context.new_page(), path)) == (path.name, [])
        assert "Content-Security-Policy" in path.read_text()
    assert "&lt;script&gt;" in (project / "data/08_reporting/comparison.html").read_text()
    assert [character for character in COMMANDS if character in said] == []


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_the_data_docs_show_texts_as_texts(project: Path, said: str, browser: Browser) -> None:  # noqa: F811
    context = browser.new_context(offline=True)  # their styles lie on public servers
    pages = list(project.rglob("validation_data_docs/**/*.html"))
    assert pages
    for path in pages:
        troubles = visit(context.new_page(), path)
        own_parts = ("request https://", "request file://", "console Failed to load resource", "error ")
        assert [one for one in troubles if not one.startswith(own_parts)] == []


def test_a_visit_notices_what_a_text_does(tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    page = tmp_path / "page.html"
    page.write_text(f"<p>{HOSTILE[0]}</p><p>{HOSTILE[1]}</p>")

    troubles = visit(browser.new_page(), page)

    assert {"dialog 1", "a text was run", "a text became HTML"} <= set(troubles)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_shows_a_text_as_it_is(text: str) -> None:
    console = Console(file=io.StringIO(), highlight=False, width=1000, force_terminal=True)
    console.print(escape(text), soft_wrap=True)
    shown = console.file.getvalue()  # type: ignore[attr-defined]

    assert shown.rstrip("\n") == show_controls(text)
    assert [character for character in COMMANDS if character in shown] == []
