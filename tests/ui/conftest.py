"""Two trainings as a user starts them, what shows them, and a browser.

With MINIGPT_SCREENSHOTS (`make screenshots` sets it) they are trainings of `sample`, and that folder keeps pictures.
"""

import io
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FloatRect, Locator, Page, expect, sync_playwright

PROJECT = Path(__file__).parents[2]
SCREENSHOTS = os.environ.get("MINIGPT_SCREENSHOTS")
ENVIRONMENT = "sample" if SCREENSHOTS else "test"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 90.0
"""Seconds that a server may take to answer: most of them are imports."""

KeepPicture = Callable[..., None]

expect.set_options(timeout=30_000)  # milliseconds; 5,000 are few where other work goes on


@pytest.fixture(scope="session")
def browser_path() -> str:
    found = [os.environ.get("MINIGPT_BROWSER"), *map(shutil.which, BROWSERS)]
    path = next(filter(None, found), None)
    if path is None:
        pytest.skip(
            f"no browser is on PATH ({', '.join(BROWSERS)}): install Chromium or Google Chrome "
            "(`apt install chromium`), or name one in MINIGPT_BROWSER"
        )
    return path


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a user who has been here before: nothing is introduced on top of what is to be seen."""
    context = browser.new_context(viewport={"width": 1200, "height": 720})
    context.add_init_script("""
        localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
        localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
        const view = {theme: "light", showFeatureHints: false, visible: {sidebar: false, miniMap: false}};
        localStorage.setItem("KedroViz", JSON.stringify(view));
    """)
    page = context.new_page()
    # Kedro-Viz covers a part of itself where it can't ask for its newest version.
    page.add_locator_handler(page.get_by_role("button", name="Dismiss"), Locator.click)
    yield page
    context.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A desktop's browser, which lets a page read the clipboard."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture(scope="session")
def project(browser_path: str, make_project: Callable[[str], Path]) -> Path:
    """A project with two models that differ in the learning rate, and a comparison of them."""
    project = make_project("ui")
    for arguments in (
        ["--env", ENVIRONMENT],
        ["--env", ENVIRONMENT, "--pipelines", "training,evaluation,generation",
         "--params", "training.optimizer.learning_rate=0.0005"],
        ["--pipelines", "comparison"],
    ):  # fmt: skip
        command = [sys.executable, "-m", "kedro", "run", *arguments]
        subprocess.run(command, cwd=project, env=find_environment(), capture_output=True, check=True)
    return project


@pytest.fixture(scope="session")
def runs(project: Path) -> list[Run]:
    """The runs of the two models, as the store has them."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("minigpt")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    return [run for run in runs if run.outputs and run.outputs.model_outputs]


@pytest.fixture(scope="session")
def mlflow_pages(project: Path) -> Iterator[str]:
    """The link that `make ui` prints."""
    with serving(project, "ui") as output:
        (line,) = [line for line in output.read_text().splitlines() if line.startswith("The runs: ")]
        yield line.removeprefix("The runs: ")


@pytest.fixture(scope="session")
def kedro_viz(project: Path) -> Iterator[str]:
    """The address of `make viz`."""
    with serving(project, "viz", ENV=ENVIRONMENT) as output:
        yield f"http://127.0.0.1:{output.stem}"


@pytest.fixture(scope="session")
def keep_picture() -> KeepPicture:
    """Keep what a page shows, or a part of it, for README; where no pictures are asked for, look at nothing."""

    def keep(page: Page, name: str, clip: FloatRect | None = None) -> None:
        if SCREENSHOTS:
            picture = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=clip is not None)))
            picture.convert("RGB").quantize(64).save(Path(SCREENSHOTS) / f"{name}.png", optimize=True)

    return keep


@contextmanager
def serving(project: Path, target: str, **variables: str) -> Iterator[Path]:
    """Serve a target of the Makefile with the packages of this process, until the block ends, however it does.

    Yields what it prints, in a file named by its port.
    """
    port = find_port()
    settings = {"BIN": Path(sys.executable).parent, "PORT": port, **variables}
    command = ["make", "--file", PROJECT / "Makefile", "--old-file", ".venv/installed", target]
    command += [f"{name}={value}" for name, value in settings.items()]
    output = project / f"{port}.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            command, cwd=project, env=find_environment(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for_answer(port, process, output)
            yield output
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def find_port() -> int:
    """Return a free port below those that a system hands out: Kedro-Viz takes none above 49151."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports are taken")


def wait_for_answer(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=PATIENCE):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"the server does not answer:\n{output.read_text()}")


def find_environment() -> dict[str, str]:
    """Return the variables of this process without what tests have told MLflow, and with no browser to open."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return kept | {"BROWSER": "true"}
