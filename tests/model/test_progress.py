import io
import logging
import sys

import pytest
from rich.console import Console

from minigpt_pipeline.model.progress import describe_time_left, showing_progress


def test_describe_time_left_goes_on_as_it_went() -> None:
    assert describe_time_left(0.25, 60.0) == "3:00 left"
    assert describe_time_left(0.0, 60.0) == "time left unknown"


def test_showing_progress_logs_a_line_where_nobody_watches(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), showing_progress(Console(file=io.StringIO())) as progress:
        progress.show(0.1, 30.0, "step 10")
        progress.show(0.2, 59.0, "step 20")

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("step 10, ")


def test_showing_progress_draws_a_bar_in_a_terminal_and_logs_above_it() -> None:
    screen = io.StringIO()
    handler = logging.StreamHandler(sys.__stderr__)
    logging.getLogger().addHandler(handler)
    try:
        with showing_progress(Console(file=screen, force_terminal=True, width=80)) as progress:
            progress.show(0.5, 60.0, "step 10")
            logging.getLogger("minigpt_pipeline").warning("a text")
        assert handler.stream is sys.__stderr__
    finally:
        logging.getLogger().removeHandler(handler)

    assert "step 10" in screen.getvalue()
    assert "a text\n" in screen.getvalue()
