"""MLflow's server is killed, comes back, is slow, hangs or answers errors, before, while and after a node works.

The server is a real one on the project's own database; between it and a run stands a proxy that fails as it is told.
The run that follows needs no server.
"""

import logging
import os
import random
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.checks import check_end, check_metrics_are_kept, check_recovery, list_runs
from tests.faults.proxy import Proxy, passing_on
from tests.faults.stages import ARGUMENTS, SEED, Stages
from tests.faults.test_matrix import LOG_LINE, read_message
from tests.servers import answers, find_port, make_mlflow_command, wait_until

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
}
"""Of a run: MLflow's own is four minutes."""
FIRST_REQUESTS = 7
"""Every pipeline makes more, and a training a hundred."""
STORE = r"The MLflow store http://\S+ (can't be used|has failed in the middle of the run)"
REFUSED = rf"Error: ({STORE}|The run \w+, which made)"
FAULTS = {
    "gone": REFUSED,
    "500": REFUSED,
    "503": REFUSED,
    "hangs": REFUSED,
    "slow": "",
    "503 for a while": "",
}
"""What happens to the server, and what a user reads of it."""


def start_server(project: Path, port: int) -> subprocess.Popen[bytes]:
    """Serve the database of a project, which may be put back: no connection outlives its request."""
    variables = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{project / 'mlflow.db'}",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"file://{project / 'mlartifacts'}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
    }
    process = subprocess.Popen(
        make_mlflow_command("server", "--no-serve-artifacts", port=port),
        env=os.environ | variables,
        cwd=project.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), lambda: process.poll() is None)
    return process


def end_server(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def proxy(stages: Stages) -> Iterator[Proxy]:
    stages.put_back("ingestion")
    port = find_port()
    process = start_server(stages.project, port)
    with passing_on(port) as proxy:
        yield proxy
    end_server(process)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("pipeline", [name for name in ARGUMENTS if name not in {"sweep", "retraining"}])
def test_a_server_that_is_not_well(
    stages: Stages, proxy: Proxy, pipeline: str, fault: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("fault", f"{pipeline}, MLflow {fault}")
    stage, draw = stages.put_back(pipeline), random.Random(f"{SEED} {pipeline} {fault}")
    known = {run.run_id for run in list_runs(stages.project)}
    number = draw.randrange(1, FIRST_REQUESTS * (10 if pipeline == "training" else 1))
    logger.warning("%s, MLflow %s from request %d on", pipeline, fault, number)
    proxy.plan(fault.split(maxsplit=1)[0], number, times=1 if fault.endswith("while") else None)

    run = stages.launcher.start(stages.project, *stage.arguments, MLFLOW_TRACKING_URI=proxy.url, **PATIENCE)

    assert run.wait() == int(bool(FAULTS[fault])), run.said
    proxy.released.set()
    said = read_message(run.said)
    if FAULTS[fault]:
        assert len(said) == 1, run.said
        assert re.match(FAULTS[fault], said[0]), said
    check_recovery(stages, stage, known)


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_server_that_is_killed_while_a_model_is_trained(stages: Stages, comes_back: bool) -> None:
    stage, port = stages.put_back("training"), find_port()
    known = {run.run_id for run in list_runs(stages.project)}
    process = start_server(stages.project, port)
    # MLflow's own, where it comes back: minutes.
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20"} if comes_back else PATIENCE
    run = stages.launcher.start(
        stages.project, *stage.arguments, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}", **patience
    )
    wait_until(lambda: "step 4: validation" in run.said, lambda: run.wait(0) is None)
    end_server(process)
    if comes_back:
        process = start_server(stages.project, port)

    code = run.wait()

    runs = list_runs(stages.project)
    if comes_back:
        assert code == 0, run.said
        end_server(process)
    else:
        assert code == 1, run.said
        (message,) = (line for line in run.said.splitlines() if not LOG_LINE.fullmatch(line))
        assert re.match(REFUSED, message)
        stages.launcher.run(stages.project, *stage.arguments)
    check_end(stages.project, stage, {run.run_id: run.status for run in runs})
    check_metrics_are_kept(stages.project, [run for run in runs if run.run_id not in known])
