"""The server as a user starts it: a process on a project whose registry has a champion."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import mlflow
import pytest
from mlflow import MlflowClient

from minigpt_pipeline.model.saved_model import TrainedModel, save_trained_model
from minigpt_pipeline.tracking.model_logging import log_model
from minigpt_pipeline.tracking.model_registry import ModelRegistry
from minigpt_pipeline.tracking.store import connect, read_tracking_settings
from tests.servers import find_port, wait_until

pytestmark = pytest.mark.full
PATIENCE = 120.0
"""Seconds until a server is ready: most of them are imports and the compilation of the loop."""


@pytest.fixture(scope="module")
def project(
    make_project: Callable[[str], Path],
    empty_database: Path,
    make_trained_model: Callable[..., TrainedModel],
) -> Iterator[Path]:
    """With versions 1 and 2 of two models; the first is in use."""
    project = make_project("served")
    shutil.copy(empty_database, project / "mlflow.db")
    connect(read_tracking_settings(project, "local"), project)
    registry = ModelRegistry("minigpt")
    for seed in (1, 2):
        save_trained_model(project / "trained_model.keras", make_trained_model(seed))
        with mlflow.start_run(tags={"data": "data/test"}) as run:
            log_model(project / "trained_model.keras")
        registry.register(run.info.run_id)
    MlflowClient().set_registered_model_alias("minigpt", "champion", "1")
    (project / "conf/local").mkdir(exist_ok=True)
    (project / "conf/local/serving.yml").write_text("look_every: 0.2\nslots: 8\n")
    yield project
    mlflow.set_tracking_uri(None)


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-m", "minigpt_pipeline.serving", *arguments],
        cwd=project,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def server(project: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    process = start(project, "--port", "0")
    assert process.stderr is not None
    said = process.stderr.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert address, said
    with httpx.Client(base_url=address[0], timeout=PATIENCE) as client:
        wait_for(client, "1")
        yield process, client
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stderr.close()


def wait_for(client: httpx.Client, version: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while client.get("/ready").json().get("model_version") != version:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_champion_that_changes_is_served_and_mlflow_writes_the_same(
    server: tuple[subprocess.Popen[str], httpx.Client], project: Path
) -> None:
    _, client = server
    asked = {"prompt": "the best scene", "seed": 5, "max_new_tokens": 12}
    texts = {}
    for version in ("1", "2"):
        MlflowClient().set_registered_model_alias("minigpt", "champion", version)
        wait_for(client, version)
        answer = client.post("/v1/generate", json=asked).json()
        assert answer["model_version"] == version
        texts[version] = answer["texts"][0]["text"]
    MlflowClient().set_registered_model_alias("minigpt", "champion", "1")

    assert texts["1"] != texts["2"]
    for version, text in texts.items():
        logged = mlflow.pyfunc.load_model(f"models:/minigpt/{version}")
        params = {"seed": 5, "max_new_tokens": 12}
        assert logged.predict([{"prompt": "the best scene"}], params=params)["text"].tolist() == [text]
    lines = [
        line for path in (project / "data/01_raw/served").iterdir() for line in path.read_text().splitlines()
    ]
    assert len(lines) == 2
    assert not any("best" in line for line in lines)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_texts_be_written_to_their_ends(
    server: tuple[subprocess.Popen[str], httpx.Client], number: int, exit_code: int
) -> None:
    process, client = server
    with ThreadPoolExecutor() as pool:
        begun = [
            pool.submit(
                client.post, "/v1/generate", json={"prompt": "the", "seed": seed, "max_new_tokens": 600}
            )
            for seed in range(4)
        ]
        while "minigpt_busy_slots 4.0" not in client.get("/metrics").text:
            assert not any(one.done() for one in begun)

        process.send_signal(number)

        answers = [one.result() for one in begun]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all(answer.json()["texts"][0]["new_tokens"] == 600 for answer in answers)
    assert process.wait(PATIENCE) == exit_code
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("seconds", [0.0, 1.5, 3.0, 6.0])
def test_a_server_that_loads_a_model_ends_at_once(project: Path, seconds: float) -> None:
    process = start(project, "--port", "0")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("http://")
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=20) == 0, process.stderr.read()


def test_ctrl_c_while_it_starts_says_nothing(project: Path) -> None:
    port = find_port()
    process = start(project, "--port", str(port))
    wait_until(lambda: is_listened_at(port), lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (130, "")


def is_listened_at(port: int) -> bool:
    """Whether the address is taken, which is done before anything slow is loaded."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_an_address_that_is_taken_is_said_at_once(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(project, "--port", str(port))
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert said.startswith(
        f"Error: 127.0.0.1:{port} can't be listened at (Address already in use): end what is there"
    )
