"""Two runs at once: the second one says who is at work and changes nothing; what changes nothing runs beside it."""

from collections.abc import Callable

import pytest

from minigpt_pipeline.cli import LOCKED, WITHOUT_LOCK
from minigpt_pipeline.project_lock import holding
from tests.faults.checks import read_data
from tests.faults.stages import ARGUMENTS, Stages
from tests.faults.test_matrix import read_message


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("pipeline", ARGUMENTS)
def test_a_second_run_ends_at_once(
    stages: Stages, pipeline: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("fault", f"{pipeline}, two at once")
    stage = stages.put_back(pipeline)
    before = read_data(stages.project)

    with holding(stages.project, ["--pipelines", "data"], "test"):
        run = stages.launcher.start(stages.project, *stage.arguments)
        code = run.wait()

    if pipeline in WITHOUT_LOCK:
        assert code == 0, run.said
        return
    assert code == LOCKED, run.said
    (message,) = read_message(run.said)
    assert message.startswith("Error: `kedro run --pipelines data` (process ")
    assert read_data(stages.project) == before
