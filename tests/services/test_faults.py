"""What goes wrong between a project, PostgreSQL and an object store: one message, no secret, nothing lost."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers import wait_until
from tests.services.conftest import PATIENCE, Setup
from tests.services.servers import BUCKET, PASSWORD, Database, ObjectStore, serving_mlflow

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

NOWHERE = "127.0.0.1:9"
NUMBERS = itertools.count()
LONG_TRAINING = "training.max_steps=120"


@pytest.fixture
def setup(
    direct: Setup,
    cluster: Database,
    make_project: Callable[[str], Path],
) -> Setup:
    """A project that asks an empty database and the object store itself."""
    name = f"fault_{next(NUMBERS)}"
    database = cluster.make(name)
    variables = direct.variables | {
        "MLFLOW_TRACKING_URI": database.uri,
        "MINIGPT_ARTIFACTS": f"s3://{BUCKET}/{name}",
        "AWS_EC2_METADATA_DISABLED": "true",  # nobody but the variables is asked for a key
    }
    address = database.uri.replace(PASSWORD, "***")
    return replace(
        direct,
        variables=variables,
        address=address,
        database=database,
        prefix=name,
        project=make_project(name),
    )


def refuse(setup: Setup, **variables: str) -> str:
    """Return the one message with which a run ends before it has computed anything."""
    status, output = setup.kedro_run("--pipelines", "ingestion", **variables)
    assert status == 1, output
    said, separator, message = output.partition("Error: ")
    assert separator, output
    assert "Traceback" not in output
    assert "ERROR" not in said
    assert len(message.splitlines()) == 1
    assert not (setup.project / "data/test").exists()
    return message


def count(setup: Setup, table: str) -> int:
    ((number,),) = setup.database.query(f"SELECT count(*) FROM {table}")
    return int(number)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (f":{PASSWORD}@", ":not-the-password@", 'password authentication failed for user "minigpt"'),
        ("/fault_", "/no_fault_", 'database "no_fault_.*" does not exist'),
        ("postgresql+psycopg2:", "postgresql+pg8000:", "No module named 'pg8000'.*pip install --editable"),
        ("127.0.0.1", "no-such-host.invalid", "could not translate host name"),
        (f":{PASSWORD}@", f":not-the-password@{PASSWORD}@", "write it as %40"),
    ],
    ids=["password", "database", "driver", "host", "an @ in a password"],
)
def test_an_address_that_is_wrong(setup: Setup, before: str, after: str, message: str) -> None:
    uri = setup.database.uri.replace(before, after)

    told = refuse(setup, MLFLOW_TRACKING_URI=uri)

    assert re.search(rf"The MLflow store postgresql\S*://minigpt:\*\*\*@.*{message}", told), told
    assert "not-the-password" not in told


def test_the_driver_need_not_be_named(setup: Setup) -> None:
    uri = setup.database.uri.replace("+psycopg2", "")

    status, output = setup.kedro_run("--pipelines", "ingestion", MLFLOW_TRACKING_URI=uri)

    assert status == 0, output
    assert count(setup, "runs") == 1


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"MINIGPT_ARTIFACTS": "s3://no-such-bucket/x"},
            r"in s3://no-such-bucket/x \(.*bucket does not exist\): make the bucket",
        ),
        (
            {"AWS_SECRET_ACCESS_KEY": "not-the-key"},
            "in s3://models/.*signature .* does not match.*correct .*AWS_SECRET_ACCESS_KEY",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"},
            "in s3://models/.*Access Key Id .* does not exist.*correct AWS_ACCESS_KEY_ID",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "in s3://models/.*Unable to locate credentials",
        ),
        (
            {"MLFLOW_S3_ENDPOINT_URL": f"http://{NOWHERE}"},
            "in s3://models/.*Could not connect to the endpoint",
        ),
    ],
    ids=["bucket", "secret", "key", "no key", "endpoint"],
)
def test_artifacts_that_can_t_be_kept(setup: Setup, variables: dict[str, str], message: str) -> None:
    told = refuse(setup, **variables)

    assert re.search(f"MLflow can't keep artifacts {message}", told), told
    assert "not-the-key" not in told
    assert count(setup, "runs") == 0
    status, output = setup.kedro_run("--pipelines", "ingestion")
    assert status == 0, output  # once it is put right, that is all


def test_a_key_that_may_only_read(setup: Setup) -> None:
    key_id, secret = setup.objects.reader
    arguments = ("--pipelines", "ingestion,validation")

    status, output = setup.kedro_run(*arguments, AWS_ACCESS_KEY_ID=key_id, AWS_SECRET_ACCESS_KEY=secret)

    assert status == 1, output
    assert "Traceback" not in output
    assert re.search(
        r"Error: The MLflow store .* has failed .*AccessDenied.*: what was saved is whole", output
    )
    assert setup.database.query("SELECT status FROM runs") == [("FAILED",)]
    status, output = setup.kedro_run(*arguments)
    assert status == 0, output


def test_a_server_that_can_t_keep_artifacts(setup: Setup, objects: ObjectStore, tmp_path: Path) -> None:
    with serving_mlflow(setup.database, objects, tmp_path, "no-such-bucket") as url:
        told = refuse(setup, MLFLOW_TRACKING_URI=url, MINIGPT_ARTIFACTS="")

    place = "s3://no-such-bucket/served: The specified bucket does not exist"
    assert re.search(
        rf"MLflow can't keep artifacts in mlflow-artifacts:/1 \(.*{place}.*\): correct the bucket", told
    )


def test_an_experiment_never_changes_its_place(setup: Setup) -> None:
    setup.kedro_run("--pipelines", "ingestion")

    _, output = setup.kedro_run("--pipelines", "ingestion", MINIGPT_ARTIFACTS="s3://models/elsewhere")

    assert re.search(
        r"Error: .* keeps artifacts in s3://models/fault_\d+, and this project would in s3://models/elsewhere: "
        r"set MINIGPT_ARTIFACTS=s3://models/fault_\d+, or name another experiment than minigpt",
        output,
    )


def test_a_database_that_is_away(setup: Setup, database_ended: Callable[[], None]) -> None:
    database_ended()

    told = refuse(setup)

    assert re.search(rf"The MLflow store {re.escape(setup.address)} can't be used .*Connection refused", told)
    assert "start its server" in told
    _, found = setup.python("-m", "minigpt_pipeline.doctor", COLUMNS="1000")
    assert re.search(rf"missing │ MLflow .*{re.escape(setup.address)} can't be used", found)


def test_a_database_that_goes_away_in_the_middle_of_a_training(
    setup: Setup, database_ended: Callable[[], None], cluster: Database
) -> None:
    command = ["-m", "kedro", "run", "--env", "test", "--params", LONG_TRAINING]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=setup.project, env=setup.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    checkpoints = setup.project / "data/test/06_models/checkpoints"
    wait_until(lambda: bool(list(checkpoints.glob("[!.]*"))), lambda: process.poll() is None)
    database_ended()
    output, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1, output
    assert "Traceback" not in output
    assert re.search(r"Error: The MLflow store postgresql\S* has failed in the middle of the run", output)
    assert PASSWORD not in output
    cluster.server.start()
    status, again = setup.python(*command)
    assert status == 0, again
    assert "Resuming from step" in again
    assert setup.database.query("SELECT status FROM runs ORDER BY start_time") == [("KILLED",), ("FINISHED",)]
