"""Runs of every pipeline, killed with `kill -9` at random moments: nothing is lost, the next comes to the same end.

`MINIGPT_FAULT_SEED=20 MINIGPT_KILLS=210 make faults`; with the same seed one of them again:
`pytest "tests/faults/test_kills.py::test_a_killed_run_loses_nothing[17]"`. Two of three die at an event, such as a
rename or a commit (`inside`), the others some time after they have begun.
"""

import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.faults.checks import (
    check_end,
    check_metrics_are_kept,
    check_recovery,
    check_whole,
    list_runs,
    reading,
)
from tests.faults.launcher import Launched
from tests.faults.stages import ARGUMENTS, SEED, Stage, Stages

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(1800)

KILLS = int(os.environ.get("MINIGPT_KILLS", "210"))
MODEL, SLOW = ("training", "evaluation", "generation"), ("promotion", "sweep", "retraining")
DATA = tuple(name for name in ARGUMENTS if name not in MODEL + SLOW)
TURNS = (*DATA, *MODEL, *DATA, *DATA, *MODEL, *SLOW, *DATA)
"""Seconds, ten seconds and a minute each: what is quick comes more often."""
IN_EVERY_TEST = {1, 2}
"""Of the kills, those that `make test` tries as well."""
PROCESS_EVERY = 30
"""Of so many kills one is of a process that was not forked."""
IMPORTS = 4.0
"""Seconds at least, before such a process does what a forked one does at once."""
CHECKPOINTS_AT_MOST = 3
"""Two are kept, and one may be half written."""
TRIES = 8
"""A run that is quicker than the one that was measured ends before it is killed."""


def kill_at_event(stages: Stages, stage: Stage, draw: random.Random) -> Launched:
    number = draw.randrange(1, stage.events + 1)
    for _ in range(TRIES):
        logger.warning("%s is killed at event %d of %d", stage.name, number, stage.events)
        run = stages.launcher.start(
            stages.project, *stage.arguments, faults=[{"event": number, "do": "SIGKILL"}]
        )
        if run.wait():
            return run
        stages.put_back(stage.name)  # threads have come by fewer this time
        number = number * 9 // 10
    raise AssertionError("it ended too early")


def kill_at_moment(stages: Stages, stage: Stage, draw: random.Random) -> Launched:
    seconds = draw.uniform(0, stage.seconds)
    for _ in range(TRIES):
        logger.warning("%s is killed after %.3f of %.3f s", stage.name, seconds, stage.seconds)
        run = stages.launcher.start(stages.project, *stage.arguments)
        if run.wait(seconds) is None and run.kill() == -signal.SIGKILL:
            return run
        stages.put_back(stage.name)
        seconds *= 0.8
    raise AssertionError("it ended too early")


def kill_process(stages: Stages, stage: Stage, draw: random.Random) -> subprocess.Popen[bytes]:
    """Kill a process that has to import all itself."""
    seconds = draw.uniform(0, IMPORTS + stage.seconds)
    command = [sys.executable, "-m", "kedro", "run", "--env", "test", *stage.arguments]
    for _ in range(TRIES):
        logger.warning("%s, a process of its own, is killed after %.3f s", stage.name, seconds)
        run = subprocess.Popen(
            command,
            cwd=stages.project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            if run.wait() == -signal.SIGKILL:
                return run
        stages.put_back(stage.name)
        seconds *= 0.8
    raise AssertionError("it ended too early")


KINDS: dict[str, Callable[[Stages, Stage, random.Random], Launched | subprocess.Popen[bytes]]] = {
    "event": kill_at_event,
    "moment": kill_at_moment,
    "process": kill_process,
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
    kind = draw.choice(["event", "event", "moment"]) if number % PROCESS_EVERY else "process"
    stage = stages.put_back(TURNS[number % len(TURNS)])
    record_property("fault", f"{stage.name}, kill -9 at {kind}")
    known = {run.run_id for run in list_runs(stages.project)}

    assert KINDS[kind](stages, stage, draw).wait() == -9

    check_recovery(stages, stage, known)


@pytest.mark.full
def test_a_training_killed_twice_goes_on_twice(stages: Stages) -> None:
    draw, stage = random.Random(SEED), stages.put_back("training")
    # Each is half written; before the second the run that went on has written some whole.
    moments = [{"saves": f"{draw.randint(*numbers):06d}.checkpoint"} for numbers in ((2, 6), (8, 12))]
    logger.warning("MINIGPT_FAULT_SEED=%d: %s", SEED, moments)
    for moment in moments:
        faults = [moment | {"do": "SIGKILL"}]
        assert stages.launcher.start(stages.project, *stage.arguments, faults=faults).wait() == -9
        checkpoints = list((stages.project / "data/test/06_models/checkpoints").iterdir())
        assert 1 <= len(checkpoints) <= CHECKPOINTS_AT_MOST
        check_whole(stages.project, stage)
    runs = list_runs(stages.project)

    last = stages.launcher.run(stages.project, *stage.arguments)

    assert "Resuming from step " in last.said
    check_end(stages.project, stage, {run.run_id: run.status for run in runs})
    check_metrics_are_kept(stages.project, runs[-2:])
    with reading(stages.project) as store:
        formers = dict(
            store.execute("SELECT run_uuid, value FROM tags WHERE key = 'resumed_from'").fetchall()
        )
    first, second, ended = list_runs(stages.project)[-3:]
    assert (formers[second.run_id], formers[ended.run_id]) == (first.run_id, second.run_id)
