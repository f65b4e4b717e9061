"""The page that the server sends: what is on it, and what a browser is told to refuse."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Annotated

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import Field

from minigpt_pipeline.serving.page import EXACT, add_page, render_page
from minigpt_pipeline.serving.requests import GenerateRequest

NOT_SETTINGS = {"prompt", "stream"}
ADDRESS = re.compile(r"""(?:https?:)?//[\w.-]+|\burl\(|@import""")


class Elements(HTMLParser):
    """All elements of a page in their order, with their attributes and what is directly in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2].append(data)

    def named(self, *tags: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for tag, attributes, text in self.found if tag in tags]


@pytest.fixture(scope="module")
def answer() -> tuple[str, dict[str, str]]:
    app = FastAPI()
    add_page(app)
    response = TestClient(app).get("/")
    assert response.status_code == 200
    return response.text, dict(response.headers)


@pytest.fixture(scope="module")
def policy(answer: tuple[str, dict[str, str]]) -> dict[str, str]:
    rules = (rule.strip().partition(" ") for rule in answer[1]["content-security-policy"].split(";"))
    return {name: value for name, _, value in rules}


def hash_inside(html: str, tag: str) -> str:
    (inside,) = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"


def find_addresses(html: str) -> list[str]:
    return ADDRESS.findall(html.replace("http://www.w3.org/2000/svg", ""))


def test_the_browser_runs_the_script_of_the_page_alone(
    answer: tuple[str, dict[str, str]], policy: dict[str, str]
) -> None:
    html, headers = answer

    assert policy["script-src"] == hash_inside(html, "script")
    assert policy["style-src"] == hash_inside(html, "style")
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["content-type"] == "text/html; charset=utf-8"


def test_nothing_comes_from_elsewhere(answer: tuple[str, dict[str, str]], policy: dict[str, str]) -> None:
    html, _ = answer

    assert find_addresses(html) == []
    assert find_addresses('<img src="//example.org/a.png">') == ["//example.org"]
    assert policy["connect-src"] == "'self'"
    elements = Elements(html)
    assert [
        attributes for attributes, _ in elements.named("script", "img", "iframe") if "src" in attributes
    ] == []
    assert [a["href"] for a, _ in elements.named("link", "a") if not a["href"].startswith("data:")] == [
        "openapi.json"
    ]
    handlers = [
        name for _, attributes, _ in elements.found for name in attributes if name.startswith(("on", "style"))
    ]
    assert handlers == []


def test_every_setting_of_a_request_has_a_field_with_its_name_and_what_it_does(
    answer: tuple[str, dict[str, str]],
) -> None:
    elements = Elements(answer[0])
    fields = {attributes["name"]: attributes for attributes, _ in elements.named("input", "textarea")}
    texts = {attributes["id"]: text for _, attributes, text in elements.found if "id" in attributes}
    labelled = {
        attributes["for"] for attributes, text in elements.named("label") if text and "for" in attributes
    }

    assert (
        fields.keys() - {"prompt", "num_texts", "key"} == GenerateRequest.model_fields.keys() - NOT_SETTINGS
    )
    assert labelled == fields.keys() - {"stop_at_end_of_review"}  # its label is around it
    for name in fields.keys() - {"prompt"}:
        described = fields[name]["aria-describedby"].split()
        assert described == [f"{name}-help", f"{name}-error"]
        assert "".join(texts[described[0]])


def test_fields_have_the_bounds_of_the_request(answer: tuple[str, dict[str, str]]) -> None:
    fields = {attributes["name"]: attributes for attributes, _ in Elements(answer[0]).named("input")}

    def bounds(name: str) -> dict[str, float]:
        return {key: float(fields[name][key]) for key in ("min", "max", "data-above") if key in fields[name]}

    assert bounds("temperature") == {"min": 0, "max": 100}
    assert bounds("top_p") == {"data-above": 0, "max": 1}
    assert bounds("seed") == {"min": 0, "max": EXACT}
    assert {name for name in fields if fields[name].get("placeholder") == "off"} == {
        "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram_size",
    }  # fmt: skip
    assert {name for name in fields if fields[name].get("inputmode") == "decimal"} == {
        "temperature", "top_p", "min_p", "repetition_penalty",
    }  # fmt: skip


def test_other_bounds_of_a_request_are_other_bounds_of_a_field() -> None:
    class Other(GenerateRequest):
        temperature: Annotated[float, Field(gt=0.5, le=2.0)] = 1.0

    (field,) = re.findall(r'<input id="temperature"[^>]*>', render_page(Other).html)

    assert 'data-above="0.5"' in field
    assert 'max="2.0"' in field
