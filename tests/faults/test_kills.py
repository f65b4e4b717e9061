"""Runs of every pipeline, killed with `kill -9` at random moments: nothing is lost, the next comes to the same end.

`MINIGPT_FAULT_SEED=20 MINIGPT_KILLS=210 make faults`; one of them again: `pytest tests/faults/test_kills.py -k "[17]"`,
with the same seed. Two of three die at an event, such as a rename or a commit (`inside`), the others some time after
they have begun.
"""

import logging
import os
import random
from collections.abc import Callable

import pytest

from tests.faults.checks import check_end, check_metrics_are_kept, check_whole, list_runs
from tests.faults.launcher import Launched
from tests.faults.stages import ARGUMENTS, SEED, Stage, Stages

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(600)

KILLS = int(os.environ.get("MINIGPT_KILLS", "210"))
MODEL, SLOW = ("training", "evaluation", "generation"), ("promotion", "sweep", "retraining")
DATA = tuple(name for name in ARGUMENTS if name not in MODEL + SLOW)
TURNS = (*DATA, *MODEL, *DATA, *DATA, *MODEL, *SLOW, *DATA)
"""Seconds, ten seconds and a minute each: what is quick comes more often."""
IN_EVERY_TEST = {0, 1, 2, 6}
"""Of the kills, those that `make test` tries as well."""
TRIES = 8
"""A run that is quicker than the one that was measured ends before it is killed."""


def kill_at_event(stages: Stages, stage: Stage, draw: random.Random) -> Launched:
    number = draw.randrange(1, stage.events + 1)
    logger.warning("%s is killed at event %d of %d", stage.name, number, stage.events)
    fault = {"event": number, "do": "SIGKILL"}
    run = stages.launcher.start(stages.project, *stage.arguments, faults=[fault])
    run.wait()
    return run


def kill_at_moment(stages: Stages, stage: Stage, draw: random.Random) -> Launched:
    seconds = draw.uniform(0, stage.seconds)
    for _ in range(TRIES):
        logger.warning("%s is killed after %.3f of %.3f s", stage.name, seconds, stage.seconds)
        run = stages.launcher.start(stages.project, *stage.arguments)
        if run.wait(seconds) is None:
            run.kill()
            return run
        stages.put_back(stage.name)
        seconds *= 0.8
    raise AssertionError("it ended too early")


KINDS: dict[str, Callable[[Stages, Stage, random.Random], Launched]] = {
    "event": kill_at_event,
    "moment": kill_at_moment,
}


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(each, marks=pytest.mark.slow if each in IN_EVERY_TEST else pytest.mark.full)
        for each in range(KILLS)
    ],
)
def test_a_killed_run_loses_nothing(
    stages: Stages, number: int, record_property: Callable[[str, object], None]
) -> None:
    draw = random.Random(f"{SEED} {number}")
    kind = draw.choice(["event", "event", "moment"])
    stage = stages.put_back(TURNS[number % len(TURNS)])
    record_property("fault", f"{stage.name}, kill -9 at {kind}")
    known = {run.run_id for run in list_runs(stages.project)}

    assert KINDS[kind](stages, stage, draw).wait() == -9

    check_whole(stages.project, stage)
    runs = list_runs(stages.project)
    killed = [run for run in runs if run.run_id not in known]
    stages.launcher.run(stages.project, *stage.arguments)
    check_end(stages.project, stage, {run.run_id: run.status for run in runs})
    if stage.name in {"training", "retraining"}:
        check_metrics_are_kept(stages.project, killed)
