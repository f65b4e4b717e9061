from datetime import UTC, datetime

import pytest

from minigpt_pipeline.comparison.model_run import RunSummary
from minigpt_pipeline.comparison.selection import RunSelectionError, choose_runs

STORE = "sqlite:///mlflow.db"
RUNS = [
    RunSummary(run_id, name, status, datetime(2026, 11, day, tzinfo=UTC))
    for run_id, name, status, day in (
        ("dd00", "wide", "RUNNING", 24),
        ("cc00", "deep model", "FINISHED", 23),
        ("ab11", "small", "FAILED", 22),
        ("ab00", "small", "FINISHED", 21),
        ("aa00", "first", "FINISHED", 20),
    )
]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("aa00", ["aa00"]),
        ("cc aa", ["cc00", "aa00"]),
        ("ab1 wide", ["ab11", "dd00"]),  # named ones need not have finished
        ("'deep model' \"first\"", ["cc00", "aa00"]),
        ("last", ["cc00"]),
        ("last-2", ["ab00", "cc00"]),  # the oldest first
        ("last-9", ["aa00", "ab00", "cc00"]),
        ("first last-2 ab00 first", ["aa00", "ab00", "cc00"]),
    ],
)
def test_choose_runs_understands_ids_names_and_age(wanted: str, ids: list[str]) -> None:
    assert [run.run_id for run in choose_runs(wanted, RUNS, STORE)] == ids


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            "aa ee00",
            r"No run of a model in sqlite:///mlflow.db has 'ee00' .*cc00 \(deep model, finished, 2026-11-23",
        ),
        ("last-0", "has 'last-0' as its id.*or the newest by `last`"),
        (
            "ab",
            r"'ab' fits 2 runs .*ab11 \(small, failed.*ab00 \(small, finished.*name one of them by its id",
        ),
        ("small", "'small' fits 2 runs"),
        ("'deep", "can't be read .*close the quotes"),
        (" ", "names no run"),
    ],
)
def test_choose_runs_says_what_there_is_and_what_to_do(wanted: str, message: str) -> None:
    with pytest.raises(RunSelectionError, match=message):
        choose_runs(wanted, RUNS, STORE)


def test_choose_runs_says_when_none_has_finished() -> None:
    with pytest.raises(
        RunSelectionError, match=r"'last' means finished runs.*There are dd00 \(wide, running"
    ):
        choose_runs("last", RUNS[:1], STORE)


def test_choose_runs_says_when_there_is_no_run_at_all() -> None:
    with pytest.raises(RunSelectionError, match="has no run of a model: train one with `make run`"):
        choose_runs("last", [], STORE)


def test_choose_runs_lists_only_the_newest_of_many() -> None:
    with pytest.raises(RunSelectionError, match=r"The newest 8 of 10 are (dd00 [^)]*\)(, )?){2}"):
        choose_runs("ee", [RUNS[0]] * 2 + RUNS + RUNS[:3], STORE)
