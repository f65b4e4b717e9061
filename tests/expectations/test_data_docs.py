import html
import logging
import posixpath
import re

import pandas as pd
import pytest

from minigpt_pipeline.expectations.data_docs import render_data_docs
from minigpt_pipeline.expectations.review_check import check_batch
from minigpt_pipeline.expectations.suite_runner import run_suite
from minigpt_pipeline.parameters import ValidationParameters

SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def pages(batch: pd.DataFrame, bounds: ValidationParameters) -> dict[str, bytes]:
    batch.loc[[1, 2], "text"] = f"{SCRIPT} & ${{text}} in a film, said twice."
    batch.loc[[3, 4], "text"] = f"<b>A long review</b>. {'On and on. ' * 10}The secret end."
    batch.loc[5, ["split", "label"]] = SCRIPT
    return check_batch(batch, bounds).render()


def test_pages_show_every_rule_in_words(pages: dict[str, bytes]) -> None:
    for page in ("index.html", "expectations/raw_reviews.html"):
        text = pages[page].decode()
        assert "No two reviews have the same text" in text
        assert "At most 50.00% of the reviews are rejected." in text


def test_pages_have_no_live_html_of_a_review(pages: dict[str, bytes]) -> None:
    index = pages["index.html"].decode()
    assert "<script>alert(" not in index
    assert "<b>A long" not in index
    assert "&lt;script&gt;alert('x')&lt;/script&gt; &amp; ${text} in a film" in index


def test_pages_cut_reviews_short(pages: dict[str, bytes]) -> None:
    assert "A long review" in pages["index.html"].decode()
    assert "The secret end" not in pages["index.html"].decode()


def test_pages_link_to_each_other_and_to_nothing_that_is_not_there(pages: dict[str, bytes]) -> None:
    for path, content in pages.items():
        if not path.endswith(".html"):
            continue
        links = re.findall(r'(?:href|src)="([^"#]+)"', content.decode())
        inside = {
            posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
            for link in links
            if "://" not in link
        }
        assert inside <= set(pages)
        assert "index.html" in inside
    assert 'href="expectations/raw_reviews.html"' in pages["index.html"].decode()


def test_pages_are_the_same_for_the_same_reviews(batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    batch.loc[1, "text"] = batch.loc[2, "text"]
    assert check_batch(batch, bounds).render() == check_batch(batch, bounds).render()


def test_pages_say_failed_only_where_the_run_stops(batch: pd.DataFrame, bounds: ValidationParameters) -> None:
    def status(reviews: pd.DataFrame) -> str:
        (word,) = re.findall(
            r"Status:</span>\s*<i[^>]*></i>\s*(\w+)",
            check_batch(reviews, bounds).render()["index.html"].decode(),
        )
        return word

    assert status(batch.assign(text=batch["text"].where(batch.index > 0, "Bad."))) == "Succeeded"
    assert status(batch.head(5)) == "Failed"


def test_pages_are_rendered_without_a_complaint(
    batch: pd.DataFrame, bounds: ValidationParameters, caplog: pytest.LogCaptureFixture
) -> None:
    """Great Expectations leaves out what it can't render, and only logs that it did."""
    batch.loc[4, "label"] = None  # and its rating stays: a pair with a null
    with caplog.at_level(logging.INFO, logger="great_expectations"):
        check_batch(batch, bounds).render()
    assert caplog.records == []


def test_pages_say_which_rule_could_not_be_evaluated_and_nothing_of_this_machine(batch: pd.DataFrame) -> None:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    rule = gxe.ExpectColumnMeanToBeBetween(column="stars", min_value=0, meta={"name": "mean"})
    suite = gx.ExpectationSuite(name="any", expectations=[rule])
    index = render_data_docs([suite], [run_suite(suite, batch)])["index.html"].decode()
    assert 'The column "stars" in BatchData does not exist.' in html.unescape(index)
    assert "Failed" in index
    assert "site-packages" not in index
