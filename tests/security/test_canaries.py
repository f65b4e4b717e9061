"""Secrets where people put them, successes and failures: no file, no database and no message has them behind it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.full

PATIENCE = 600
"""Seconds for a command."""
USER = "someone"
CANARIES = {
    name: f"canary{name.lower().replace('_', '')}0123456789"
    for name in (
        "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "MINIGPT_SERVING_KEY", "IN_URI", "IN_WEBHOOK", "IN_URL", "IN_QUERY", "IN_CREDENTIALS",
    )
}  # fmt: skip
IN_ENVIRONMENT = {name: value for name, value in CANARIES.items() if not name.startswith("IN_")} | {
    "MLFLOW_TRACKING_USERNAME": USER,
    "AWS_ACCESS_KEY_ID": "someone",
    "MINIGPT_WEBHOOK": f"http://127.0.0.1:9/hooks/{CANARIES['IN_WEBHOOK']}",
}
CLOSED = "127.0.0.1:9"
"""Nobody listens there."""


@pytest.fixture(scope="module")
def project(make_project: Callable[[str], Path]) -> Path:
    """With a password in its credentials, and an archive that wants one in its address."""
    project = make_project("canaries")
    (project / "conf/local").mkdir(exist_ok=True)
    credentials = {"store": {"password": CANARIES["IN_CREDENTIALS"]}}
    (project / "conf/local/credentials.yml").write_text(yaml.safe_dump(credentials))
    (project / "conf/download").mkdir()
    address = f"http://{USER}:{CANARIES['IN_URL']}@{CLOSED}/reviews.tar.gz?token={CANARIES['IN_QUERY']}"
    catalog = {
        "reviews_archive": {
            "type": "minigpt_pipeline.datasets.ReviewsArchiveDataset",
            "filepath": "data/01_raw/aclImdb_v1.tar.gz",
            "url": address,
            "sha256": "0" * 64,
        }
    }
    (project / "conf/download/catalog_ingestion.yml").write_text(yaml.safe_dump(catalog))
    return project


def list_variables(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MINIGPT_"))}
    return kept | IN_ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | changes


def run(project: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=project, env=list_variables(**changes), capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip


def list_leaks(project: Path, *said: str) -> list[str]:
    """Return where canaries are, in what was said and in each file but those that people wrote them to."""
    own = {project / "conf/local/credentials.yml", project / "conf/download/catalog_ingestion.yml"}
    texts = {f"said {number}": text.encode() for number, text in enumerate(said)}
    texts |= {
        str(path): path.read_bytes() for path in project.rglob("*") if path.is_file() and path not in own
    }
    return [
        f"{name} in {where}"
        for where, text in texts.items()
        for name, value in CANARIES.items()
        if value.encode() in text
    ]


def test_a_canary_is_found(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"password={CANARIES['IN_URI']}")

    assert list_leaks(tmp_path, CANARIES["IN_URL"]) == ["IN_URL in said 0", f"IN_URI in {tmp_path / 'log'}"]


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
@pytest.mark.parametrize(
    "uri",
    [
        f"http://{USER}:{CANARIES['IN_URI']}@{CLOSED}",
        f"http://{CANARIES['IN_URI']}@{CLOSED}",
        f"http://{CLOSED}?token={CANARIES['IN_URI']}",
        f"postgresql://{USER}:{CANARIES['IN_URI']}@{CLOSED}/mlflow",
        f"postgresql://{CLOSED}/mlflow?user={USER}&password={CANARIES['IN_URI']}",
        f"mysql+nothing://{USER}:{CANARIES['IN_URI']}@{CLOSED}/mlflow",
    ],
)
def test_a_store_that_is_away(project: Path, uri: str, verbose: tuple[str, ...]) -> None:
    command = ("kedro", "run", "--env", "test", "--pipelines", "ingestion", *verbose)
    ended = run(project, *command, MLFLOW_TRACKING_URI=uri)

    assert ended.returncode == 1
    assert "The MLflow store" in ended.stderr
    assert list_leaks(project, ended.stdout, ended.stderr) == []


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
def test_an_archive_that_wants_a_password(project: Path, verbose: tuple[str, ...]) -> None:
    ended = run(project, "kedro", "run", "--env", "download", "--pipelines", "ingestion", *verbose)

    assert ended.returncode == 1
    assert f"http://{USER}:***@{CLOSED}/reviews.tar.gz?token=*** could not be downloaded" in ended.stderr
    assert list_leaks(project, ended.stdout, ended.stderr) == []


@pytest.mark.parametrize(
    "parameters", ["model.num_hads=2", "model.num_heads=x", "generation.prompts=1", "training.max_steps=-1"]
)
def test_a_wrong_parameter(project: Path, parameters: str) -> None:
    ended = run(project, "kedro", "run", "--env", "test", "--params", parameters, "--verbose")

    assert ended.returncode == 1
    assert list_leaks(project, ended.stdout, ended.stderr) == []


@pytest.mark.timeout(1200)
def test_runs_that_end_well_and_a_server(project: Path) -> None:
    said = []
    for pipelines in ([], ["--pipelines", "promotion"], ["--pipelines", "comparison"]):
        ended = run(project, "kedro", "run", "--env", "test", *pipelines)
        assert ended.returncode == 0, ended.stderr
        said += [ended.stdout, ended.stderr]
    for command in (("minigpt_pipeline.doctor",), ("minigpt_pipeline.release", "versions")):
        ended = run(project, *command)
        said += [ended.stdout, ended.stderr]
    said.append(_ask_a_server(project))

    assert (project / "mlflow.db").exists()
    assert list_leaks(project, *said) == []


def _ask_a_server(project: Path) -> str:
    """Serve, ask with the key and with another one, and return what was said."""
    log = project / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "minigpt_pipeline.serving", "--host", "0.0.0.0", "--port", "0"],
            cwd=project, env=list_variables(), stdout=output, stderr=output,
        )  # fmt: skip
    deadline, answers = time.monotonic() + PATIENCE, ""
    while not (found := re.search(r"http://0\.0\.0\.0:(\d+)", log.read_text())):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for key in (CANARIES["MINIGPT_SERVING_KEY"], "another-key-that-nobody-has", ""):
        for path in ("v1/model", "metrics", "ready", "nothing"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{found[1]}/{path}", headers={"Authorization": f"Bearer {key}"}
            )
            try:
                answers += urllib.request.urlopen(request, timeout=30).read().decode()
            except urllib.error.HTTPError as error:
                answers += error.read().decode()
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=60)
    return answers + log.read_text()


def test_a_scheduled_run_that_fails(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import dagster as dg

    from minigpt_pipeline.scheduling.definitions import make_definitions
    from minigpt_pipeline.scheduling.home import Home
    from tests.scheduling.conftest import make_settings

    for name, value in list_variables(
        MLFLOW_TRACKING_URI=f"http://{USER}:{CANARIES['IN_URI']}@{CLOSED}"
    ).items():
        monkeypatch.setenv(name, value)
    home = Home(project)
    home.make()
    home.configure("local")
    job = make_definitions(make_settings(pipeline="ingestion"), home).resolve_job_def("nightly")
    with dg.DagsterInstance.from_config(str(home.folder)) as instance:
        ended = job.execute_in_process(instance=instance, raise_on_error=False)
        said = [str(entry) for entry in instance.all_logs(ended.run_id)]

    assert not ended.success
    assert "The MLflow store" in "".join(said)
    assert list_leaks(project, *said, caplog.text) == []


@pytest.fixture(scope="module")
def guarded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server, which asks for a name and a password."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\nadmin_username = {USER}\n"
        f"admin_password = {CANARIES['MLFLOW_TRACKING_PASSWORD']}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = list_variables(
        MLFLOW_AUTH_CONFIG_PATH=str(folder / "auth.ini"),
        MLFLOW_FLASK_SERVER_SECRET_KEY="of-this-test-alone",
        MLFLOW_BACKEND_STORE_URI=f"sqlite:///{folder / 'mlflow.db'}",
        MLFLOW_ARTIFACTS_DESTINATION=str(folder / "artifacts"),
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--workers", "1"], env=variables, stdout=log, stderr=log, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=10):
                    break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_store_with_passwords_takes_the_right_one(project: Path, guarded_store: str) -> None:
    command = ("kedro", "run", "--env", "test", "--pipelines", "data")
    ended = run(project, *command, MLFLOW_TRACKING_URI=guarded_store)

    assert ended.returncode == 0, ended.stderr
    assert list_leaks(project, ended.stdout, ended.stderr) == []


@pytest.mark.parametrize("password", ["a-wrong-password-0123456789", ""])
def test_a_store_with_passwords_refuses_a_wrong_one_and_none(
    project: Path, guarded_store: str, password: str
) -> None:
    changes = {"MLFLOW_TRACKING_URI": guarded_store, "MLFLOW_TRACKING_PASSWORD": password}
    changes |= {} if password else {"MLFLOW_TRACKING_USERNAME": ""}
    ended = run(project, "kedro", "run", "--env", "test", "--pipelines", "data", **changes)

    assert ended.returncode == 1
    (message,) = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert message.startswith(f"Error: The MLflow store {guarded_store} can't be used (")
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in message
    assert "a-wrong-password-0123456789" not in ended.stdout + ended.stderr
    assert list_leaks(project, ended.stdout, ended.stderr) == []
