import re
from typing import Any

import pytest

from minigpt_pipeline.monitoring.page import FIGURES, list_rows, render_monitoring
from minigpt_pipeline.monitoring.warnings import ALL, CHECKS
from tests.expectations.test_page import read
from tests.monitoring.test_report import describe
from tests.served import make_refusals, make_text


def render(*records: Any, **changes: Any) -> str:
    report = describe(
        *records, **{name: changes.pop(name) for name in ("min_texts", "with_words") if name in changes}
    )
    return render_monitoring(report | {"data": "data"} | changes)


def test_it_says_what_was_served_by_whom() -> None:
    text = read(render(make_text(), make_text(model_version="4"), make_refusals(count=3)))

    assert "Served: 2 texts" in text
    assert "From 2026-11-25 12:00 to 2026-11-26 12:00 UTC, models trained on data : versions 3, 4" in text
    assert "All is within its bounds." in text
    assert "5 requests 2 texts 3 429 overloaded" in text
    assert "Figure All Version 3 Version 4 Training" in text
    assert "Tokens of a prompt, mean 4.0 4.0 4.0" in text
    assert "there are no training reviews or no tokenizer to compare with" in text


def test_one_version_has_no_column_of_its_own() -> None:
    text = read(render(make_text()))

    assert ": version 3 ." in text or ": version 3." in text
    assert "Figure All Training" in text


def test_warnings_stand_first_with_what_to_do_and_at_their_figure() -> None:
    warning = {"scope": ALL, "figure": "unk_rate", "text": "it is high", "next_step": "look"}
    text = read(render(make_text(), warnings=[warning]))

    assert "Look at this. it is high: look" in text
    assert "first tokens ! far 25.00%" in text
    assert "within its bounds" not in text


def test_few_texts_and_none_are_told_apart() -> None:
    assert "Too few texts to judge. Figures of fewer than 5 texts" in read(render(make_text(), min_texts=5))
    nothing = read(render())
    assert "Nothing was served." in nothing
    assert "Figures" not in nothing


def test_lines_that_could_not_be_read_are_told() -> None:
    assert "2 lines could not be read" in read(render(make_text(), damaged_lines=2))
    assert "could not be read" not in read(render(make_text()))


def test_texts_are_shown_only_where_they_were_kept_and_are_no_html() -> None:
    text = make_text(prompt="a <script>", text="a <script> <b>sings</b> & more")
    kept, not_kept = render(text, with_words=True), render(text)

    assert "<strong>a &lt;script&gt;</strong> &lt;b&gt;sings&lt;/b&gt; &amp; more" in kept
    assert "what people wrote" in read(kept)
    assert "script" not in not_kept
    assert "sings" not in not_kept


@pytest.mark.parametrize("context", [None, 16])
def test_training_reviews_are_described_also_without_a_champion(context: int | None) -> None:
    lengths = {"tokens_p50": 112.0} | ({} if context is None else {"sequence_tokens_max": 16.0})
    text = read(render(make_text(), training_reviews=2000, training_lengths=lengths))

    assert "Training: 2,000 reviews" in text
    assert ("sequences of up to 16 tokens" in text) == (context is not None)


def test_every_figure_that_can_be_far_is_shown() -> None:
    assert {check.figure for check in CHECKS} <= {name for name, _, _ in FIGURES}


def test_training_figures_stand_in_their_own_column() -> None:
    figures = {"requests": 1.0, "texts": 1.0, "unk_rate": 0.5, "training_unk_rate": 0.25}
    rows = {
        row.label: row.values for row in list_rows({"figures": {ALL: figures, "3": figures}, "warnings": []})
    }

    assert rows["Texts"] == ["1", ""]
    assert rows["[UNK] in prompts; in training reviews, in as many first tokens"] == ["50.00%", "25.00%"]


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    html = render(make_text())

    assert "default-src 'none'" in html
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["data:,"]
    assert not re.search(r"url\(|@import", html)
    ids = re.findall(r'id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
