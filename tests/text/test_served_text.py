import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt_pipeline.text.served_text import Refusals, ServedText, measure_repetition, read_line, write_line
from minigpt_pipeline.text.text_quality import distinct, seq_rep_4
from tests.served import make_refusals, make_text


@pytest.mark.parametrize(
    "record", [make_text(), make_text(first_token=None, index=2), make_refusals(count=7)]
)
def test_a_line_gives_its_record_back(record: ServedText | Refusals) -> None:
    line = write_line(record)

    assert read_line(line) == record
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_words_are_kept_only_where_that_is_asked_for() -> None:
    text = make_text(prompt="canary", text="a\nline \ud800")

    assert b"canary" not in write_line(text)
    assert read_line(write_line(text)) == make_text()
    kept = read_line(write_line(text, with_words=True))
    assert (kept.prompt, kept.text) == ("canary", "a\nline ?")
    assert "prompt" not in json.loads(write_line(make_text(), with_words=True))


def test_what_is_no_number_is_written_as_null() -> None:
    assert read_line(write_line(make_text(seq_rep_4=math.nan))) == make_text(seq_rep_4=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 2}, {"kind": "other"}, {"at": "2026-11-26T11:30:00"}, {"at": "noon"}, {"new_tokens": -1},
        {"seconds": None}, {"prompt_tokens": "many"},
    ],
)  # fmt: skip
def test_a_line_that_is_not_ours_is_refused(changes: dict[str, Any]) -> None:
    fields = json.loads(write_line(make_text())) | changes

    with pytest.raises(ValueError, match=next(iter(changes)) if "kind" not in changes else "other"):
        read_line(json.dumps(fields).encode())


@pytest.mark.parametrize("line", [b"", b"\n", b"[]", b"null", b"\xff", write_line(make_text())[:-20]])
def test_a_cut_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read_line(line)


def test_a_field_of_a_later_version_does_no_harm() -> None:
    fields = json.loads(write_line(make_text())) | {"gpu": "none"}

    assert read_line(json.dumps(fields).encode()) == make_text()


@given(st.lists(st.integers(1, 4), max_size=30))
def test_repetition_is_what_text_quality_measures(token_ids: list[int]) -> None:
    figures = measure_repetition(token_ids)

    for name, expected in (("seq_rep_4", seq_rep_4), ("distinct_2", lambda texts: distinct(texts, 2))):
        value = expected([np.array(token_ids)])
        assert figures[name] == (None if math.isnan(value) else pytest.approx(value))
