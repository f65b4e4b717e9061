"""What the page of `make serve` makes of anything that a server may answer."""

import json
import shlex
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from minigpt_pipeline.serving.requests import GenerateRequest
from tests.ui.looks import FAINT, OVERFLOWING
from tests.ui.pretender import JSON, MODEL, Pretender, done, start, token
from tests.ui.visit import HOSTILE, PROMPT, Visit

pytestmark = pytest.mark.full


@pytest.fixture
def pretender() -> Iterator[Pretender]:
    pretender = Pretender()
    thread = threading.Thread(target=pretender.http.serve_forever, daemon=True)
    thread.start()
    yield pretender
    pretender.http.shutdown()
    pretender.http.server_close()
    thread.join()


@pytest.fixture
def pretended(context: BrowserContext, pretender: Pretender) -> Visit:
    visit = Visit(context.new_page(), pretender.address)
    visit.open()
    return visit


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_events_are_read_however_they_are_cut(
    pretended: Visit, pretender: Pretender, newline: str, pieces: int
) -> None:
    pretender.stream(
        start(), token("The scene: “é”", 1), done("The scene: “é” 😀, done"), newline=newline, pieces=pieces
    )

    pretended.generate("the scene")

    expect(pretended.words).to_have_text("The scene: “é” 😀, done")
    expect(pretended.fact("End")).to_have_text("of the review")
    expect(pretended.page.get_by_role("status")).to_have_text("Written: The scene: “é” 😀, done")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Prompt", "  ", "Type a word to start from."),
        ("Prompt", "x" * 101, "101 characters: 100 at most."),
        ("Length", "601", "600 at most."),
        ("Length", "", "A number is needed."),
        ("Texts", "3", "2 at most."),
        ("Temperature", "-1", "0 at least."),
        ("Top-p", "0", "More than 0 is needed."),
        ("Seed", "1.5", "A whole number is needed."),
        ("Min-p", "2", "1 at most."),
    ],
)
def test_what_the_server_would_refuse_is_said_before_it_is_asked(
    pretended: Visit, pretender: Pretender, name: str, value: str, message: str
) -> None:
    pretended.page.evaluate("document.querySelector('#more').open = true")
    wrong = pretended.page.get_by_label(name, exact=True)
    wrong.fill(value)
    pretended.page.evaluate("document.querySelector('#more').open = false")

    pretended.button.click()

    described = wrong.get_attribute("aria-describedby").split()[-1]
    expect(pretended.page.locator(f"#{described}")).to_have_text(message)
    expect(pretended.page.get_by_role("status")).to_have_text(message)
    expect(wrong).to_be_focused()
    expect(wrong).to_have_attribute("aria-invalid", "true")
    assert pretender.received == []
    wrong.fill("1")
    expect(pretended.page.locator(f"#{described}")).to_be_hidden()


def test_a_busy_server_says_when_to_try_again(pretended: Visit, pretender: Pretender) -> None:
    pretender.refuse(429, "overloaded", f"No room {HOSTILE}: try again", Retry_After="2")
    pretender.stream(start(), done("the text"))
    alert = pretended.page.locator("#trouble")

    pretended.generate()

    expect(alert).to_contain_text(f"No room {HOSTILE}: try again")
    expect(alert).to_contain_text("Try again in 2 s.")
    expect(alert).to_contain_text("Try again now.")
    pretended.button.click()
    expect(pretended.words).to_have_text("the text")
    expect(alert).to_be_hidden()
    assert pretender.received[0] == pretender.received[1]
    assert pretended.page.evaluate("window.hit") is None


@pytest.mark.parametrize(
    ("status", "code", "message", "place"),
    [
        (413, "prompt_too_long", "A prompt has 101 characters", "#prompt-error"),
        (413, "too_many_tokens", "max_new_tokens=50, and 40 is the most", "#max_new_tokens-error"),
        (503, "no_model", "No model is loaded yet: the server's log says why", "#trouble"),
        (500, "failed", "The server could not go on", "#trouble"),
    ],
)
def test_a_refusal_stands_where_it_belongs(
    pretended: Visit, pretender: Pretender, status: int, code: str, message: str, place: str
) -> None:
    pretender.refuse(status, code, message)

    pretended.generate()

    expect(pretended.page.locator(place)).to_have_text(message)
    expect(pretended.button).to_have_text("Generate")
    expect(pretended.prompt).to_have_value(PROMPT)


def test_fields_that_the_server_refuses_are_marked(pretended: Visit, pretender: Pretender) -> None:
    fields = [{"field": "min_p", "message": "too much"}, {"field": "seed.0", "message": "too odd"}]
    error = {"code": "invalid_request", "message": "min_p: too much; seed.0: too odd", "fields": fields}
    pretender.answers.append((422, JSON, [json.dumps({"error": error}).encode()]))

    pretended.generate()

    expect(pretended.page.locator("#min_p-error")).to_have_text("too much")
    expect(pretended.page.locator("#seed-error")).to_have_text("too odd")
    expect(pretended.page.get_by_label("Min-p")).to_be_focused()


def test_an_answer_of_something_else_is_told_by_its_status(pretended: Visit, pretender: Pretender) -> None:
    pretender.answers.append((502, {"Content-Type": "text/html"}, [b"<h1>Bad gateway</h1>"]))

    pretended.generate()

    expect(pretended.page.locator("#trouble")).to_contain_text("The server answered 502")


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (
            [("error", {"error": {"code": "stopping", "message": "The text was given up."}})],
            "The text was given up.",
        ),
        ([], "The server ended the connection too early."),
    ],
)
def test_a_text_that_breaks_off_is_kept(
    pretended: Visit, pretender: Pretender, last: list[tuple[str, dict[str, Any]]], message: str
) -> None:
    pretender.stream(start(), token(f"The best scene {HOSTILE}", 9), *last)

    pretended.generate()

    expect(pretended.page.locator("#current .broken")).to_have_text(f"{message} What had come is kept.")
    expect(pretended.words).to_have_text(f"The best scene {HOSTILE}")
    expect(pretended.fact("Length")).to_have_text("9 tokens")
    assert pretended.page.evaluate("window.hit") is None


def test_a_page_without_a_model_waits_for_one(context: BrowserContext, pretender: Pretender) -> None:
    pretender.model = None
    visit = Visit(context.new_page(), pretender.address)
    visit.open("absent")
    expect(visit.page.locator("#model")).to_have_text("No model is loaded.")

    visit.generate("a film")
    expect(visit.page.locator("#trouble")).to_have_text("No model is loaded. Your prompt is kept.")
    assert pretender.received == []
    pretender.model = MODEL

    expect(visit.page.locator("#model")).to_have_text("minigpt version 3")
    expect(visit.prompt).to_have_value("a film")
    expect(visit.page.get_by_label("Length", exact=True)).to_have_value("40")
    expect(visit.page.get_by_role("radio", name="default")).to_be_checked()


def test_a_text_names_the_version_that_wrote_it(pretended: Visit, pretender: Pretender) -> None:
    pretender.stream(start("3"), done("of the old one"))
    pretender.stream(start("4"), done("of the new one"))
    pretended.generate()
    expect(pretended.fact("Written by")).to_have_text("minigpt version 3")
    pretender.model = MODEL | {"model_version": "4"}

    pretended.generate()

    expect(pretended.fact("Written by")).to_have_text("minigpt version 4")
    expect(pretended.page.locator("#earlier-texts .facts")).to_contain_text("minigpt version 3")
    expect(pretended.page.locator("#model")).to_have_text("minigpt version 4")


def test_a_prompt_with_quotes_is_copied_for_a_shell(pretended: Visit, pretender: Pretender) -> None:
    prompt = 'it\'s $HOME `ls` "here" \\ é\nand there'
    pretender.stream(start(), done("the text"))

    pretended.generate(prompt)

    expect(pretended.words).to_have_text("the text")
    command = shlex.split(pretended.copy("Copy as curl"))
    sent = json.loads(command[-1])
    assert sent["prompt"] == prompt
    assert GenerateRequest(**sent).seed == 42


def test_a_key_is_asked_for_and_kept_out_of_what_is_copied(
    context: BrowserContext, pretender: Pretender
) -> None:
    pretender.key = "of-one-who-may-ask-0123"
    visit = Visit(context.new_page(), pretender.address)
    visit.open("absent")
    field = visit.page.get_by_label("Key", exact=True)
    expect(visit.page.locator("#model")).to_have_text("This server wants a key.")
    expect(field).to_be_focused()
    assert visit.page.evaluate(OVERFLOWING) == visit.page.evaluate(FAINT) == []

    field.fill("a-wrong-one")
    field.press("Enter")
    expect(visit.page.get_by_text("The server does not know this key.")).to_be_visible()
    field.fill(pretender.key)
    visit.page.get_by_role("button", name="Use it").click()
    expect(visit.page.locator("#model")).to_have_attribute("data-state", "ready")
    expect(field).to_be_hidden()
    visit.page.reload()
    expect(visit.page.locator("#model")).to_have_attribute("data-state", "ready")  # this tab knows it

    pretender.stream(start(), token("the best scene is", 1), done("the best scene is"))
    visit.generate()
    visit.wait_for_the_end()
    copied = visit.copy("Copy as curl")
    assert '-H "Authorization: Bearer $MINIGPT_SERVING_KEY"' in copied
    everything = (
        copied + visit.page.content() + visit.page.url + visit.page.evaluate("JSON.stringify(localStorage)")
    )
    assert pretender.key not in everything
    assert [complaint for complaint in visit.complaints if "401" not in complaint] == []
