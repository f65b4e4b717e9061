"""A project that logs to PostgreSQL and an S3-compatible store, through MLflow's server and without it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.conftest import terminal  # noqa: F401 -- a fixture of the tests here, too
from tests.services.servers import (
    BUCKET,
    PASSWORD,
    Database,
    ObjectStore,
    find_postgresql,
    serving_mlflow,
    serving_object_store,
    serving_postgresql,
)

PROJECT = Path(__file__).parents[2]
PATIENCE = 300
"""Seconds that a command may take: those of a retraining are half a minute."""
REQUIRED = "MINIGPT_SERVICES"
"""Of the environment: with it, as `make test-services` sets it, what is not installed is no reason to skip."""


@dataclass(frozen=True)
class Setup:
    """Where a project logs to.

    Args:
        variables: Of the environment of its processes: the store, the artifacts, and what proves who asks.
        address: Of the store, as messages show it.
        database: Has runs and the registered model.
        objects: Have the artifacts.
        prefix: Of their keys.
        project: The project.
    """

    variables: Mapping[str, str]
    address: str
    database: Database
    objects: ObjectStore
    prefix: str
    project: Path

    @property
    def secrets(self) -> tuple[str, str]:
        return PASSWORD, self.objects.secret

    @property
    def environment(self) -> dict[str, str]:
        """Return all variables of its processes: what tests have told MLflow in this one is none of them."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "MINIGPT_", "AWS_"))
        }
        folder = Path(sys.executable).parent
        return kept | {"PATH": f"{folder}{os.pathsep}{kept['PATH']}"} | self.variables

    def call(self, *command: str | Path, cwd: Path | None = None, **variables: str) -> tuple[int, str]:
        """Run a command in the project as its user does, and return its exit code and all that it has said."""
        ended = subprocess.run(
            command, cwd=cwd or self.project, env=self.environment | variables, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        for secret in self.secrets:
            assert secret not in ended.stdout
        return ended.returncode, ended.stdout

    def python(self, *arguments: str | Path, **variables: str) -> tuple[int, str]:
        return self.call(sys.executable, *arguments, **variables)

    def kedro_run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        return self.python("-m", "kedro", "run", "--env", "test", *arguments, **variables)

    def make(self, target: str, **settings: str) -> tuple[int, str]:
        values = {"BIN": str(Path(sys.executable).parent), **settings}
        words = ["make", "--file", PROJECT / "Makefile", "--old-file", ".venv/installed", target]
        return self.call(*words, *(f"{name}={value}" for name, value in values.items()))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Database]:
    programs = find_postgresql()
    if programs is None:
        missing = (
            "PostgreSQL is not installed: `apt install postgresql`, or put the folder of its initdb on PATH"
        )
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    with serving_postgresql(programs) as database:
        yield database


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with serving_object_store(tmp_path_factory.mktemp("objects")) as store:
        yield store


@pytest.fixture(scope="session")
def served(
    cluster: Database,
    objects: ObjectStore,
    make_project: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Setup]:
    """A project that knows MLflow's server alone: the server has password and key."""
    database = cluster.make("served")
    with serving_mlflow(database, objects, tmp_path_factory.mktemp("server")) as url:
        # Without the latter, MLflow's own commands would fetch files from the object store, which they can't enter.
        variables = {"MLFLOW_TRACKING_URI": url, "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false"}
        yield Setup(variables, url, database, objects, "served", make_project("served"))


@pytest.fixture(scope="session")
def direct(cluster: Database, objects: ObjectStore, make_project: Callable[[str], Path]) -> Setup:
    """A project that asks database and object store itself."""
    database = cluster.make("direct")
    location = {"MLFLOW_TRACKING_URI": database.uri, "MINIGPT_ARTIFACTS": f"s3://{BUCKET}/direct"}
    address = database.uri.replace(PASSWORD, "***")
    return Setup(location | objects.variables, address, database, objects, "direct", make_project("direct"))


@pytest.fixture
def database_ended(cluster: Database) -> Iterator[Callable[[], None]]:
    """End PostgreSQL; it is there again behind the test."""
    yield cluster.server.end
    if not cluster.server.is_running:
        cluster.server.start()
