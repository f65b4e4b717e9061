"""The page at `/`: a prompt, settings, and the text while it is written.

It is one file with its style and its script, and the browser is told to take neither from anywhere else.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from pydantic import BaseModel

from minigpt_pipeline.pages import make_environment
from minigpt_pipeline.serving.requests import GenerateRequest

TEMPLATE = "serving.html.jinja"
STYLES = ("page.css", "serving.css")
SCRIPT = "serving.js"
EXACT = 2**53 - 1
"""The greatest number that a browser sends as it was typed."""


class Setting(NamedTuple):
    """A number that a user may choose.

    Args:
        name: Of the parameter.
        label: As people call it.
        help: What it does, in a few words.
        step: By which the arrow keys change it.
    """

    name: str
    label: str
    help: str
    step: float = 1


LENGTH = Setting("max_new_tokens", "Length", "tokens, at most")
NUM_TEXTS = Setting("num_texts", "Texts", "side by side, each with the next seed")
MOST_TEXTS = 4
"""That a page shows beside each other."""
SETTINGS = (
    Setting("temperature", "Temperature", "lower is safer and duller; 0 takes the most probable token", 0.1),
    Setting("top_p", "Top-p", "draws from the most probable tokens, up to this sum of probability", 0.05),
)
SEED = Setting("seed", "Seed", "the same seed, settings and version write the same text")
MORE_SETTINGS = (
    Setting("top_k", "Top-k", "draws from so many of the most probable tokens"),
    Setting("min_p", "Min-p", "draws from tokens with this share of the best one's probability", 0.05),
    Setting("repetition_penalty", "Repetition penalty", "above 1: less of what the text has already", 0.1),
    Setting("no_repeat_ngram_size", "No-repeat n-gram", "so many neighbouring tokens never stand twice"),
)


@dataclass(frozen=True)
class Field:
    """A setting as the page shows it.

    Args:
        setting: What it is.
        attributes: Of its field: `min`, `max`, `data-above`, which is itself not allowed, and `value`.
        is_whole: Whether it counts something.
        may_be_off: Whether it may be left empty.
    """

    setting: Setting
    attributes: dict[str, float]
    is_whole: bool
    may_be_off: bool


class Page(NamedTuple):
    """What the server sends.

    Args:
        html: The page.
        headers: What the browser is told to refuse.
    """

    html: str
    headers: dict[str, str]


def add_page(app: FastAPI) -> None:
    """Let an application serve the page."""
    page = render_page(GenerateRequest)

    @app.get("/", include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page.html, headers=page.headers)


def render_page(request: type[BaseModel]) -> Page:
    """Write the page.

    Args:
        request: What the server takes: it says which values of each setting are in bounds.
    """
    environment = make_environment("minigpt_pipeline.serving")
    style, script = (
        Markup("".join(environment.loader.get_source(environment, name)[0] for name in names))  # type: ignore[union-attr] # noqa: S704 -- our own files # nosec B704
        for names in (STYLES, (SCRIPT,))
    )
    properties = request.model_json_schema()["properties"]
    html = environment.get_template(TEMPLATE).render(
        style=style,
        script=script,
        settings=[
            describe_field(LENGTH, properties[LENGTH.name]),
            Field(NUM_TEXTS, {"min": 1, "max": MOST_TEXTS, "value": 1}, is_whole=True, may_be_off=False),
            *(describe_field(setting, properties[setting.name]) for setting in SETTINGS),
        ],
        more_settings=[describe_field(setting, properties[setting.name]) for setting in MORE_SETTINGS],
        seed=describe_field(SEED, properties[SEED.name]),
    )
    policy = {
        "default-src": "'none'",
        "script-src": hash_source(script),
        "style-src": hash_source(style),
        "connect-src": "'self'",
        "img-src": "data:",  # the icon
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",  # no text of a model becomes HTML
        "trusted-types": "'none'",
    }
    return Page(
        html,
        {
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-cache",
        },
    )


def describe_field(setting: Setting, schema: Mapping[str, Any]) -> Field:
    """Return a setting with its bounds.

    Args:
        setting: What it is.
        schema: Of its values, in JSON Schema.
    """
    choices = schema.get("anyOf", [schema])
    number = next(choice for choice in choices if choice["type"] in {"integer", "number"})
    attributes = {"minimum": "min", "maximum": "max", "exclusiveMinimum": "data-above"}
    bounds = {attribute: min(number[name], EXACT) for name, attribute in attributes.items() if name in number}
    return Field(setting, bounds, number["type"] == "integer", {"type": "null"} in choices)


def hash_source(source: str) -> str:
    """Return how a Content-Security-Policy names a script or a style that stands in the page."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
