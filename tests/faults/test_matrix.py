"""Pipelines down, faults across: one message, whole files, and the next run comes to the same end.

Each fault comes at an event that is drawn (`inside`), so that every test is a moment that can be had again. Faults of
MLflow's servers are in `test_store.py`.
"""

import logging
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.faults.checks import check_recovery, list_runs
from tests.faults.stages import ARGUMENTS, SEED, Stages

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(1800)

LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (INFO|WARNING) .*")
IN_EVERY_TEST = {
    ("ingestion", "locked for a while"),
    ("validation", "SIGTERM"),
    ("vectorization", "SIGINT"),
}


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a fault.

    Args:
        code: With which a run ends.
        message: A pattern; none where a run ends as ever.
    """

    code: int
    message: str = ""


AGAIN = "all files are whole, old or new. Run the same command again"
OUTCOMES = {
    "SIGTERM": Outcome(143, rf"Ended by SIGTERM: {AGAIN}"),
    "SIGINT": Outcome(130, rf"Interrupted: {AGAIN}"),
    "full": Outcome(1, r"Error: The disk is full, .*: make room"),
    "read-only": Outcome(1, r"Error: .* can't be written .*(R|r)ead-?only"),
    "memory": Outcome(1, r"Error: There is too little memory"),
    "device memory": Outcome(1, r"Error: There is too little memory \(OOM when allocating"),
    "locked for a while": Outcome(0),
    "locked": Outcome(1, r"Error: Another program writes to mlflow.db, .*for longer than this one waits"),
    "an hour back": Outcome(0),
    "a year back": Outcome(0),
    "an hour on": Outcome(0),
    "a year on": Outcome(0),
}


def list_cases() -> list[pytest.ParameterSet]:
    return [
        pytest.param(
            pipeline,
            fault,
            marks=pytest.mark.slow if (pipeline, fault) in IN_EVERY_TEST else pytest.mark.full,
        )
        for pipeline in ARGUMENTS
        for fault in OUTCOMES
    ]


def read_message(said: str) -> list[str]:
    """Return what a run says behind its log."""
    return [line for line in said.splitlines() if not LOG_LINE.fullmatch(line)]


@pytest.mark.parametrize(("pipeline", "fault"), list_cases())
def test_a_fault_is_told_and_loses_nothing(
    stages: Stages, pipeline: str, fault: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("fault", f"{pipeline}, {fault}")
    draw, outcome, stage = (
        random.Random(f"{SEED} {pipeline} {fault}"),
        OUTCOMES[fault],
        stages.put_back(pipeline),
    )
    known = {run.run_id for run in list_runs(stages.project)}
    number = draw.randrange(1, stage.events + 1)
    logger.warning("%s, %s at event %d of %d", pipeline, fault, number, stage.events)

    run = stages.launcher.start(stages.project, *stage.arguments, faults=[{"event": number, "do": fault}])

    code = run.wait()
    assert "Traceback" not in run.said, run.said
    if code or not outcome.code:  # it may come when all is done
        assert code == outcome.code, run.said
    if code:
        (message,) = read_message(run.said)
        assert re.match(outcome.message, message), message
    check_recovery(stages, stage, known)
