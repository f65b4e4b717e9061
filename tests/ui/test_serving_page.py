"""The page of `make serve` in a browser, with a champion that writes."""

import json
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, BrowserContext, expect

from tests.ui.conftest import ENVIRONMENT, PATIENCE, find_environment, serving
from tests.ui.looks import FAINT, FAINT_FIELDS, OVERFLOWING, SMALL_TARGETS
from tests.ui.visit import HOSTILE, PROMPT, Visit

pytestmark = pytest.mark.full

LONG = 2000
"""Tokens, which take long enough to be stopped on the way."""
KEEP_LENGTHS = """() => {
  window.lengths = [];
  new MutationObserver(() => {
    const text = document.querySelector("#current .words")?.textContent.length;
    if (text && text !== window.lengths.at(-1)) window.lengths.push(text);
  }).observe(document.querySelector("#current"), {childList: true, subtree: true, characterData: true});
}"""
KeepPicture = Callable[..., None]


def ask(address: str, body: dict[str, Any] | None = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, content, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer) if "json" in answer.headers["Content-Type"] else answer.read().decode()


def count_cancelled(address: str) -> float:
    pattern = r'^minigpt_texts_total\{finish_reason="cancelled"\} (.*)$'
    found = re.search(pattern, ask(f"{address}/metrics"), re.M)
    return float(found[1]) if found else 0.0


def wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            ask(f"{address}/ready")
        except urllib.error.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def champion(project: Path) -> str:
    """The version of the project's champion."""
    command = [sys.executable, "-m", "kedro", "run", "--env", ENVIRONMENT, "--pipelines", "promotion"]
    subprocess.run(command, cwd=project, env=find_environment(), capture_output=True, check=True)
    (project / "conf/local/serving.yml").write_text(f"max_new_tokens: {LONG}\n")
    store = f"sqlite:///{project / 'mlflow.db'}"
    return str(MlflowClient(store, store).get_model_version_by_alias("minigpt", "champion").version)


@pytest.fixture(scope="module")
def server(project: Path, champion: str) -> Iterator[str]:
    with serving(project, "serve") as output:
        address = f"http://127.0.0.1:{output.stem}"
        wait_until_ready(address)
        yield address


@pytest.fixture
def visit(context: BrowserContext, server: str) -> Visit:
    visit = Visit(context.new_page(), server)
    visit.open()
    return visit


def test_a_text_grows_while_one_looks(visit: Visit, champion: str, server: str) -> None:
    visit.page.evaluate(KEEP_LENGTHS)
    visit.set("Length", 200)
    visit.set("Seed", 7)

    visit.generate()
    visit.wait_for_words()
    visit.wait_for_the_end()

    lengths = visit.page.evaluate("window.lengths")
    assert len(lengths) > 5
    assert lengths == sorted(lengths)
    request = {"prompt": PROMPT, "max_new_tokens": 200, "seed": 7}
    (text,) = ask(f"{server}/v1/generate", request)["texts"]
    expect(visit.words).to_have_text(text["readable_text"])
    assert visit.page.locator("#current .given").text_content().lower() == PROMPT
    expect(visit.fact("Written by")).to_have_text(f"minigpt version {champion}")
    expect(visit.fact("Seed")).to_have_text("7")
    expect(visit.fact("Length")).to_have_text("200 tokens")
    expect(visit.fact("Speed")).to_have_text(re.compile(r"^[\d,]+ tokens/s$"))
    expect(visit.fact("First token")).to_have_text(re.compile(r"^[\d,]+ ms$"))
    assert visit.copy("Copy text") == text["readable_text"]
    assert {url for url in visit.requests if not url.startswith("data:")} == {
        f"{server}/", f"{server}/v1/model", f"{server}/v1/generate",
    }  # fmt: skip
    assert visit.complaints == []


@pytest.mark.parametrize("way", ["button", "key"])
def test_stop_keeps_what_was_written_and_ends_it_on_the_server(visit: Visit, server: str, way: str) -> None:
    cancelled = count_cancelled(server)
    visit.set("Length", LONG)

    visit.generate()
    visit.wait_for_words()
    expect(visit.button).to_have_text("Stop")
    visit.button.click() if way == "button" else visit.page.keyboard.press("Escape")

    visit.wait_for_the_end()
    expect(visit.page.get_by_role("status")).to_have_text("Stopped.")
    expect(visit.fact("End")).to_have_text("stopped")
    kept = visit.words.text_content()
    number = int(re.match(r"\d+", visit.fact("Length").text_content())[0])
    assert 0 < number < LONG
    deadline = time.monotonic() + PATIENCE
    while count_cancelled(server) == cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    command = shlex.split(visit.copy("Copy as curl"))
    assert command[:2] == ["curl", f"{server}/v1/generate"]
    (text,) = ask(command[1], json.loads(command[-1]))["texts"]
    assert text["new_tokens"] == number
    assert text["readable_text"] == kept == visit.words.text_content()


def test_all_of_it_works_by_keyboard(visit: Visit) -> None:
    keyboard = visit.page.keyboard
    keyboard.press("Tab")
    expect(visit.prompt).to_be_focused()
    keyboard.press("ControlOrMeta+A")
    keyboard.type("this movie")
    keyboard.press("Shift+Enter")
    expect(visit.prompt).to_have_value("this movie\n")
    expect(visit.words).to_have_count(0)
    keyboard.press("Enter")
    visit.wait_for_words()
    visit.wait_for_the_end()
    expect(visit.prompt).to_be_focused()

    keyboard.press("Tab")
    expect(visit.button).to_be_focused()
    keyboard.press("Tab")  # the settings' heading
    keyboard.press("Tab")
    expect(visit.page.get_by_role("radio", name="default")).to_be_focused()
    keyboard.press("ArrowRight")
    expect(visit.page.get_by_role("radio", name="careful")).to_be_checked()
    expect(visit.page.get_by_label("Temperature", exact=True)).to_have_value("0.7")
    keyboard.press("Tab")
    keyboard.press("ControlOrMeta+A")
    keyboard.type(str(LONG))
    keyboard.press("Enter")
    visit.wait_for_words()
    keyboard.press("Enter")  # is no second one, and no Stop
    expect(visit.button).to_have_text("Stop")
    keyboard.press("Escape")
    visit.wait_for_the_end()
    expect(visit.fact("End")).to_have_text("stopped")
    expect(visit.page.locator("#earlier-texts .text")).to_have_count(1)
    assert visit.complaints == []


def test_several_texts_stand_beside_each_other_and_earlier_ones_below(visit: Visit, server: str) -> None:
    visit.set("Texts", 3)
    visit.set("Seed", 5)
    visit.generate()
    visit.wait_for_the_end()

    texts = ask(f"{server}/v1/generate", {"prompt": PROMPT, "seed": [5, 6, 7]})["texts"]
    expect(visit.words).to_have_text([text["readable_text"] for text in texts])

    visit.page.get_by_role("button", name="Another one").last.click()
    visit.wait_for_the_end()
    assert visit.page.get_by_label("Seed", exact=True).input_value() != "7"
    earlier = visit.page.get_by_role("region", name="Earlier texts")
    expect(earlier.locator(".words")).to_have_text([text["readable_text"] for text in texts])

    visit.prompt.fill("else")
    earlier.get_by_role("button", name="Use its settings").nth(1).click()
    expect(visit.prompt).to_have_value(PROMPT)
    expect(visit.page.get_by_label("Seed", exact=True)).to_have_value("6")


def test_a_reload_keeps_what_was_typed(visit: Visit) -> None:
    visit.prompt.fill("a film of ours")
    visit.set("Temperature", 0.3)
    visit.page.get_by_label("Top-p").fill("")
    visit.page.get_by_role("button", name="New seed").click()
    seed = visit.page.get_by_label("Seed", exact=True).input_value()

    visit.page.reload()

    expect(visit.page.locator("#model")).to_have_attribute("data-state", "ready")
    expect(visit.prompt).to_have_value("a film of ours")
    expect(visit.page.get_by_label("Temperature", exact=True)).to_have_value("0.3")
    expect(visit.page.get_by_label("Top-p")).to_have_value("")
    expect(visit.page.get_by_label("Seed", exact=True)).to_have_value(seed)


def test_a_prompt_that_looks_like_a_page_is_text(visit: Visit) -> None:
    visit.generate(f"{PROMPT} {HOSTILE}")
    visit.wait_for_words()
    visit.wait_for_the_end()

    assert visit.page.evaluate("window.hit") is None
    assert visit.page.locator("main img, main script").count() == 0
    assert "onerror" in visit.words.text_content()
    assert visit.complaints == []


def test_a_prompt_without_a_known_word_is_refused_beside_it(visit: Visit) -> None:
    visit.generate("qqzzxx")

    expect(visit.page.locator("#prompt-error")).to_have_text(re.compile("knows none of these words"))
    expect(visit.prompt).to_be_focused()
    expect(visit.prompt).to_have_attribute("aria-invalid", "true")
    expect(visit.prompt).to_have_value("qqzzxx")


def test_a_server_that_goes_away_costs_neither_text_nor_prompt(
    context: BrowserContext, project: Path, champion: str
) -> None:
    with serving(project, "serve") as output:
        visit = Visit(context.new_page(), f"http://127.0.0.1:{output.stem}")
        wait_until_ready(visit.address)
        visit.open()
        visit.set("Length", LONG)
        visit.generate()
        visit.wait_for_words()

    visit.wait_for_the_end()
    expect(visit.page.locator("#current .broken")).to_have_text(
        "The server does not answer. What had come is kept."
    )
    expect(visit.fact("End")).to_have_text("broken off")
    assert len(visit.words.text_content()) > len(PROMPT)

    visit.generate("this movie")
    expect(visit.page.get_by_role("alert").first).to_have_text(re.compile("The server does not answer"))
    expect(visit.prompt).to_have_value("this movie")
    expect(visit.page.locator("#model")).to_have_attribute("data-state", "absent")


@pytest.mark.parametrize("width", [1280, 390, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_is_readable(
    browser: Browser, server: str, keep_picture: KeepPicture, theme: str, width: int
) -> None:
    is_phone = width < 1000
    context = browser.new_context(
        color_scheme=theme,
        viewport={"width": width, "height": 844 if is_phone else 720},
        has_touch=is_phone,
        is_mobile=is_phone,
        reduced_motion="reduce",
    )
    visit = Visit(context.new_page(), server)
    visit.open()

    def check() -> None:
        dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 26)"
        assert dark == (theme == "dark")
        assert visit.page.evaluate("innerWidth") == width  # a phone zooms out where something is wider
        assert visit.page.evaluate(OVERFLOWING) == []
        assert visit.page.evaluate(FAINT) == []
        assert visit.page.evaluate(FAINT_FIELDS) == []
        if is_phone:
            assert visit.page.evaluate(SMALL_TARGETS) == []

    check()
    visit.generate()
    visit.wait_for_words()
    visit.wait_for_the_end()
    check()
    visit.page.mouse.move(0, 0)
    if (theme, width) in {("light", 1280), ("dark", 390)}:
        height = visit.page.evaluate("document.querySelector('main').getBoundingClientRect().bottom") + 24
        name = "serving_phone" if is_phone else "serving_desktop"
        keep_picture(visit.page, name, {"x": 0, "y": 0, "width": width, "height": height})

    settings = visit.page.locator("#settings")
    assert settings.evaluate("e => e.open") != is_phone
    visit.page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    visit.set("Length", LONG)
    visit.generate("a" * 300 + " the best scene")
    visit.wait_for_words()
    assert visit.page.locator("#current .caret").evaluate("e => getComputedStyle(e).animationName") == "none"
    check()
    visit.page.keyboard.press("Escape")
    visit.wait_for_the_end()
    visit.set("Temperature", 200)
    visit.button.click()
    expect(visit.page.locator("#temperature-error")).to_have_text("100 at most.")
    check()
    assert visit.complaints == []
    context.close()
