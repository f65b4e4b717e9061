from datetime import UTC, datetime, timedelta

import pytest

from minigpt_pipeline.text.served_days import ServedDays
from minigpt_pipeline.text.served_text import write_line
from tests.served import NOW, make_days, make_refusals, make_text


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


RECORDS = [
    make_text(at=ago(0.1), model_version="4"),
    make_text(at=ago(11.9), first_token=None),
    make_refusals(at=ago(13), count=3),
    make_text(at=ago(24.5)),
    make_text(at=ago(0.1), data="data/test"),
]


@pytest.mark.parametrize(
    ("hours", "num_texts", "num_refused"), [(1, 1, 0), (12, 2, 0), (24, 2, 3), (25, 3, 3), (None, 3, 3)]
)
def test_a_window_has_what_was_served_in_it(hours: float | None, num_texts: int, num_refused: int) -> None:
    records = make_days(RECORDS).read(hours, 0)

    assert (len(records.texts), records.refusals["count"].sum()) == (num_texts, num_refused)
    assert records.until == NOW
    assert records.since == NOW - timedelta(hours=hours or 24.5)


def test_days_before_the_window_are_not_opened() -> None:
    def refuse() -> None:
        raise AssertionError

    days = make_days(RECORDS[:1])
    older = ServedDays(NOW, "data", {"2026-11-25": refuse} | dict(days.days))

    assert len(older.read(11, 0).texts) == 1
    with pytest.raises(AssertionError):
        older.read(13, 0)


def test_columns_are_numbers_also_where_there_is_no_row() -> None:
    records, nothing = (make_days(some).read(None, 0) for some in (RECORDS, []))

    assert nothing.since is None
    for full, empty in ((records.texts, nothing.texts), (records.refusals, nothing.refusals)):
        assert list(full.dtypes) == list(empty.dtypes)
        assert list(full.columns) == list(empty.columns)
    assert records.texts["first_token"].isna().sum() == 1
    assert records.texts["at"].min() == datetime(2026, 11, 25, 11, 30, tzinfo=UTC)


def test_lines_that_cannot_be_read_are_counted_and_passed_over() -> None:
    line = write_line(make_text())
    lines = [
        line,
        line[:30] + b"\n",
        b"{}\n",
        line.replace(b'"format_version": 1', b'"format_version": 9'),
        line[:-9],
    ]
    days = ServedDays(NOW, "data", {"2026-11-26": lines.__iter__})

    records = days.read(24, 0)

    assert (len(records.texts), records.damaged_lines) == (1, 4)


def test_examples_are_the_newest_texts_whose_words_were_kept() -> None:
    texts = [make_text(request_id=str(number), prompt="p", text="t") for number in range(5)]

    kept, none = (make_days(texts, with_words).read(24, 2).examples for with_words in (True, False))

    assert [text.request_id for text in kept] == ["3", "4"]
    assert none == []


@pytest.mark.parametrize(
    ("record", "hours", "expected"),
    [
        (RECORDS[0], 1, True), (RECORDS[2], 24, True), (RECORDS[2], 1, False), (RECORDS[4], None, False),
        (RECORDS[3], None, True),
    ],
)  # fmt: skip
def test_it_knows_whether_anything_was_served(record: object, hours: float | None, expected: bool) -> None:
    assert make_days([record]).has_any(hours) is expected
