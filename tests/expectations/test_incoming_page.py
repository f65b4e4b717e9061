import re
from typing import Any

import pytest

from minigpt_pipeline.expectations.incoming_page import FIGURES, list_drift, render_incoming
from minigpt_pipeline.text.drift import MEANINGS
from tests.expectations.test_page import make_expectation, make_report, read


def make_batch(**changes: Any) -> dict[str, Any]:
    batch = {
        "format_version": 1, "batch_id": "0a1b", "name": "new.csv", "size": 1234, "outcome": "accepted", "reasons": [],
        "warnings": [], "reviews": {"read": 10, "taken": 9, "rejected_by_reason": {"known": 1}}, "passed_over": [],
        "num_passed_over": 0, "validation": make_report(make_expectation()), "drift": None,
    }  # fmt: skip
    return batch | changes


def test_an_accepted_batch_is_told_with_its_counts_and_expectations() -> None:
    text = read(render_incoming([make_batch()]))

    assert "New data: new.csv" in text
    assert "Accepted. Its files lie in 01_raw/accepted" in text
    assert "10 read 9 taken 1 known" in text
    assert "Batch 0a1b , 1,234 bytes" in text
    assert "Not measured: there are no training reviews yet" in text
    assert "Expectations, 1 of 1 met" in text
    assert "✓ met Each text has at least 20 characters." in text


def test_what_a_critical_expectation_costs_is_the_batch() -> None:
    broken = make_expectation(name="reviews_are_enough", severity="critical", success=False, observed=1)
    validation = make_report(broken, refused_by=["reviews_are_enough"])

    assert "Else the whole batch is quarantined." in read(
        render_incoming([make_batch(validation=validation)])
    )


def test_a_refused_batch_tells_its_reasons_and_what_was_not_read() -> None:
    batch = make_batch(
        outcome="quarantined", reasons=["it is <b>poor</b>"], validation=None, passed_over=["a.jpg"],
        num_passed_over=1, reviews={"read": 0, "taken": 0, "rejected_by_reason": {}},
    )  # fmt: skip
    html = render_incoming([batch])
    text = read(html)

    assert "Quarantined. Its files lie in 01_raw/quarantine" in text
    assert "it is &lt;b&gt;poor&lt;/b&gt;" in html
    assert "1 file without reviews passed over: a.jpg" in text
    assert "Not measured: there was nothing to read" in text
    assert "Expectations" not in text


def test_drift_stands_beside_the_training_reviews_and_says_what_is_far() -> None:
    figures = {"reviews": 9.0, "words_mean": 80.5, "training_words_mean": 110.25, "perplexity": 71.126}
    drift = {"figures": figures, "warnings": {"perplexity": "the perplexity is high"}}
    text = read(render_incoming([make_batch(drift=drift, warnings=["odd labels"])]))

    assert "Look at this. odd labels the perplexity is high" in text
    assert "Words of a review, mean 80.5 110.2" in text
    assert "on its validation films ! far 71.13" in text
    assert "median" not in text
    assert [row.is_far for row in list_drift(figures, drift["warnings"])] == [False, False, True]


def test_every_figure_that_can_be_far_is_shown() -> None:
    assert MEANINGS.keys() <= {name for name, _, _ in FIGURES}


@pytest.mark.parametrize(("count", "shown"), [(0, "There was nothing new."), (2, "New data: 2 batches")])
def test_a_run_without_news_and_one_with_several(count: int, shown: str) -> None:
    html = render_incoming([make_batch() for _ in range(count)])

    assert shown in read(html)
    ids = re.findall(r'id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:aria-labelledby|href)="#?(batch[^"]*)"', html)) <= set(ids)
    assert html.count('<a href="#batch-') == (count if count > 1 else 0)


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    html = render_incoming([make_batch()])

    assert "default-src 'none'" in html
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["data:,"]
    assert not re.search(r"url\(|@import", html)
