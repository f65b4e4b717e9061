import io
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from minigpt_pipeline.progress import (
    describe_time_left,
    erase_bars,
    is_watched,
    showing_progress,
    showing_share,
    track,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Open = Callable[[], Terminal]


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a terminal to which standard error goes, and the log with it; pytest takes both back when a test begins."""
    handlers = []

    def open_now() -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.delenv("CI", raising=False)
        handlers.append(logging.StreamHandler(terminal))
        logging.getLogger().addHandler(handlers[0])
        return terminal

    yield open_now
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def read_last(terminal: Terminal) -> str:
    """Return what stands in the last line, as a terminal shows it."""
    *_, line = terminal.getvalue().split("\n")
    return line.split("\r")[-1].strip()


def test_progress_is_counted_with_its_speed_and_the_time_left(
    open_terminal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal()
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])

    with showing_progress("Writing texts", 2000, "texts") as advance:
        assert "0 of 2,000 texts" in read_last(terminal)
        now[0] += 10
        advance(1500)
        shown = read_last(terminal)

    assert shown.startswith("Writing texts |")
    assert shown.endswith("| 1,500 of 2,000 texts, 150 texts/s, 00:03 left")
    assert read_last(terminal) == ""  # nothing stays


def test_progress_is_shown_in_another_unit_than_it_is_counted_in(open_terminal: Open) -> None:
    terminal = open_terminal()
    with showing_progress("Reading", 80_000_000, "MB", scale=1e-6):
        assert "0 of 80 MB" in read_last(terminal)


def test_more_than_all_is_all(open_terminal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal()
    monkeypatch.setattr("tqdm.std.time", iter(range(1000, 2000)).__next__)

    with showing_progress("Writing texts", 3, "texts") as advance:
        advance(5)
        assert "3 of 3 texts" in read_last(terminal)


def test_track_gives_the_pieces_and_shows_their_sizes(
    open_terminal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal()
    monkeypatch.setattr("tqdm.std.time", iter(range(1000, 2000)).__next__)
    seen = {}

    for piece in track(["one", "three"], "Reading", 8, "letters", len):
        seen[piece] = read_last(terminal).split("| ")[-1].partition(" letters")[0]

    assert seen == {"one": "0 of 8", "three": "3 of 8"}


def test_log_lines_stand_above_the_bar(open_terminal: Open) -> None:
    terminal = open_terminal()
    with showing_progress("Writing texts", 3, "texts"):
        logging.getLogger("minigpt_pipeline").warning("a line")
        *_, line, below = terminal.getvalue().split("\n")
        assert line.split("\r")[-1] == "a line"
        assert "0 of 3 texts" in below


def test_the_bar_of_a_share_says_what_goes_on(open_terminal: Open) -> None:
    terminal = open_terminal()
    with showing_share("Training") as display:
        assert "Training |" in read_last(terminal)
        display.show(0.25, 60.0, "step 10")
        assert read_last(terminal).startswith("step 10 |")
        assert read_last(terminal).endswith("| 25 %, 3:00 left")
        display.show(1.2, 60.0, "step 40")  # a limit is passed before it is looked at
        assert "100 %" in read_last(terminal)


def test_a_bar_that_a_generator_holds_open_is_erased(open_terminal: Open) -> None:
    terminal = open_terminal()
    pieces = track(["one", "three"], "Reading", 8, "letters", len)
    next(pieces)
    assert read_last(terminal)

    erase_bars()

    assert read_last(terminal) == ""


def test_nothing_is_drawn_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with showing_progress("Writing texts", 3, "texts") as advance:
        advance(3)
    assert list(track(["one"], "Reading", 3, "letters", len)) == ["one"]

    assert capsys.readouterr().err == ""


def test_a_share_is_logged_now_and_then_in_a_pipe(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), showing_share("Training") as display:
        display.show(0.1, 30.0, "step 10")
        display.show(0.2, 59.0, "step 20")

    assert caplog.messages == ["step 10, 4:30 left"]
    assert capsys.readouterr().err == ""


def test_nobody_watches_ci(open_terminal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    open_terminal()
    assert is_watched()

    monkeypatch.setenv("CI", "true")

    assert not is_watched()


def test_describe_time_left_goes_on_as_it_went() -> None:
    assert describe_time_left(0.25, 60.0) == "3:00 left"
    assert describe_time_left(0.0, 60.0) == "time left unknown"
