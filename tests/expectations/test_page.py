import re
from typing import Any

import pandas as pd
import pytest

from minigpt_pipeline.expectations import page
from minigpt_pipeline.expectations.page import render_report
from minigpt_pipeline.expectations.report import ValidationReport
from minigpt_pipeline.expectations.review_check import check_batch
from minigpt_pipeline.parameters import ValidationParameters


def make_expectation(**changes: Any) -> dict[str, Any]:
    values = {
        "name": "text_is_long_enough", "description": "Each text has at least 20 characters.", "severity": "warning",
        "success": True, "observed": None, "failing_rows": 0, "failing_share": 0.0, "examples": [],
        "rejects_as": None, "error": None,
    }  # fmt: skip
    return values | changes


def make_report(
    *expectations: dict[str, Any], refused_by: list[str] | None = None, **changes: Any
) -> ValidationReport:
    counts = {"read": 4000, "kept": 3998, "rejected": 2, "rejected_by_reason": {"too_short": 2}}
    return {
        "accepted": not refused_by, "refused_by": refused_by or [], "warnings": [], "reviews": counts,
        "expectations": list(expectations), "skipped": [],
    } | changes  # fmt: skip


def read(html: str) -> str:
    """Return the text of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL))


def test_an_accepted_batch_is_told_with_its_counts() -> None:
    text = read(render_report(make_report(make_expectation())))

    assert "Validation of 4,000 reviews" in text
    assert "Accepted. Every critical expectation is met" in text
    assert "4,000 read 3,998 kept 2 set aside: too_short" in text
    assert "✓ met Each text has at least 20 characters. Else a warning. Reviews that break it: none" in text
    assert "Left out" not in text


def test_the_version_is_that_of_the_code_and_not_of_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "__version__", "9.8.7")

    assert "Written by MiniGPT Pipeline 9.8.7 from" in read(render_report(make_report(make_expectation())))


def test_a_refused_batch_names_what_refuses_it_and_shows_that_first() -> None:
    broken = make_expectation(
        name="reviews_are_enough", severity="critical", success=False, observed=4000, failing_share=None
    )
    text = read(render_report(make_report(make_expectation(), broken, refused_by=["reviews_are_enough"])))

    assert "1 of the critical expectations is not met: reviews_are_enough" in text
    assert text.index("✗ not met") < text.index("✓ met")
    assert "Else nothing downstream runs. 4,000" in text


def test_rows_that_are_set_aside_are_counted_with_examples() -> None:
    examples = [
        {"review_id": "train/pos/7", "value": "<b>Bad</b> & short"},
        {"review_id": None, "value": "x"},
    ]
    row_rule = make_expectation(
        success=False, failing_rows=2, failing_share=0.0005, examples=examples, rejects_as="too_short"
    )
    html = render_report(make_report(row_rule))

    text = read(html)
    assert "! careful" in text
    assert "set aside as too_short. Reviews that break it: 2, 0.05%" in text
    assert "&lt;b&gt;Bad&lt;/b&gt; &amp; short" in html
    assert "without id: x" in text


@pytest.mark.parametrize(
    ("observed", "shown"), [(["review_id", "text"], "review_id, text"), (0.5214, "52.14%"), ("int8", "int8")]
)
def test_what_was_seen_of_a_whole_column_is_written_for_people(observed: object, shown: str) -> None:
    text = read(render_report(make_report(make_expectation(observed=observed, failing_share=None))))

    assert f"Else a warning. {shown}" in text


def test_what_was_left_out_or_not_checked_is_said() -> None:
    skipped = [{"name": "labels_are_balanced", "reason": "no value in label"}]
    text = read(render_report(make_report(make_expectation(error="no such column"), skipped=skipped)))

    assert "It could not be checked: no such column" in text
    assert "no value in label" in text


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    html = render_report(make_report(make_expectation()))

    assert "default-src 'none'" in html
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["data:,"]
    assert not re.search(r"url\(|@import", html)


@pytest.mark.slow
def test_a_real_report_becomes_the_same_page_each_time(
    reviews: pd.DataFrame, bounds: ValidationParameters
) -> None:
    pages = {render_report(check_batch(reviews, bounds).report) for _ in range(2)}

    assert len(pages) == 1
    assert "The columns are review_id, split" in read(pages.pop())
