"""The pages that runs write, in a browser without a network: in light and dark, wide and narrow."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow.entities import Run
from playwright.sync_api import Browser, Page, expect

from minigpt_pipeline.comparison.formats import format_number
from minigpt_pipeline.expectations.page import render_report
from tests.ui.looks import FAINT, OVERFLOWING

pytestmark = pytest.mark.full

KeepPicture = Callable[..., None]


@dataclass
class Look:
    """A page as somebody sees it, and what it asked for or complained of on the way."""

    page: Page
    theme: str
    troubles: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.troubles.append(request.url))
        self.page.goto(path.as_uri())
        assert self.troubles.pop(0) == path.as_uri()

    def check(self) -> None:
        dark = self.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 26)"
        assert dark == (self.theme == "dark")
        assert self.page.evaluate(OVERFLOWING) == []
        assert self.page.evaluate(FAINT) == []
        assert [text for text in self.troubles if not text.startswith("data:")] == []


@pytest.fixture(params=[1200, 375], ids=["wide", "narrow"])
def width(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(params=["light", "dark"])
def look(request: pytest.FixtureRequest, browser: Browser, width: int) -> Iterator[Look]:
    context = browser.new_context(
        offline=True, color_scheme=request.param, viewport={"width": width, "height": 720}
    )
    yield Look(context.new_page(), request.param)
    context.close()


def test_the_validation_report_is_readable(look: Look, project: Path, keep_picture: KeepPicture) -> None:
    (path,) = project.glob("data/*/08_reporting/validation.html")
    look.open(path)

    expect(look.page.get_by_role("status")).to_contain_text("Accepted.")
    expect(look.page.get_by_text("reviews_are_enough")).to_be_visible()
    look.check()
    if (look.theme, look.page.viewport_size["width"]) == ("light", 1200):
        keep_picture(look.page, "validation")


def test_a_report_of_every_state_is_readable(look: Look, project: Path, tmp_path: Path) -> None:
    (path,) = project.glob("data/*/08_reporting/validation_report.json")
    report = json.loads(path.read_text())
    broken, careful, unchecked = report["expectations"][:3]
    for one in (broken, careful, unchecked):
        one |= {"success": False, "failing_rows": 2, "failing_share": 0.0005}
        one["examples"] = [{"review_id": "train/pos/7", "value": "a" * 200}]
    unchecked["error"] = "no such column"
    report |= {"accepted": False, "refused_by": [broken["name"]], "skipped": [{"name": "x", "reason": "y"}]}
    page = tmp_path / "validation.html"
    page.write_text(render_report(report))

    look.open(page)

    expect(look.page.get_by_role("status")).to_contain_text("Refused.")
    look.check()


def test_the_comparison_is_readable(look: Look, project: Path, runs: list[Run]) -> None:
    look.open(project / "data/08_reporting/comparison.html")

    values = [run.data.metrics["test/perplexity"] for run in runs]
    row = look.page.get_by_role("row").filter(has_text="test/perplexity").first
    for run in runs:
        expect(look.page.get_by_text(run.info.run_id, exact=True)).to_be_visible()
    for value in values:
        expect(row).to_contain_text(format_number(value, values))
    look.check()
    look.page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    look.check()


def test_the_controls_of_the_comparison_work(
    browser: Browser, project: Path, keep_picture: KeepPicture
) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 720}, offline=True)
    page.goto((project / "data/08_reporting/comparison.html").as_uri())
    curves, charts = page.locator(".curves"), page.locator(".curves .chart")
    assert curves.get_by_role("img").count() == 2
    box = page.get_by_role("heading", name="Learning curves").bounding_box()
    keep_picture(page, "comparison", {"x": 0, "y": box["y"] - 20, "width": 1200, "height": 1000})

    for axis in ("words", "minutes", "steps"):
        page.get_by_role("radio", name=axis).check()
        assert [chart.get_attribute("class") for chart in charts.all() if chart.is_visible()] == [
            f"chart against-{axis}"
        ] * 2

    first, second = (curves.locator(f".against-steps .lines g.run-{number}") for number in (1, 2))
    page.get_by_role("checkbox", name="default").uncheck()
    expect(first.first).to_be_hidden()
    expect(second.first).to_be_visible()

    equal = page.get_by_role("cell", name="synthetic_reviews").first
    expect(equal).to_be_hidden()
    page.get_by_text("Equal in all runs").click()
    expect(equal).to_be_visible()
    page.close()


def test_data_docs_open(browser: Browser, project: Path) -> None:
    (path,) = project.glob("data/*/08_reporting/validation_data_docs/index.html")
    page = browser.new_page(offline=True)  # the style of these pages is a CDN's
    page.goto(path.as_uri())

    expect(page.get_by_text("Expectation Validation Result")).to_be_visible()
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    page.close()
