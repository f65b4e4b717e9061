"""A whole cycle on PostgreSQL and S3, as a user has it: what it leaves is looked up in the database and the bucket."""

import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import answers, find_port, make_mlflow_command, wait_until
from tests.services.conftest import Setup
from tests.services.servers import Server, post

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

MODEL = "artifacts/artifacts/trained_model.keras"
WRITE = """
import mlflow, pandas as pd, sys
model = mlflow.pyfunc.load_model("models:/minigpt@champion")
texts = model.predict(pd.DataFrame({"prompt": ["the best scene"]}), params={"max_new_tokens": 5, "seed": 1})
print("wrote:", texts["text"][0])
assert "kedro" not in sys.modules
"""


@dataclass(frozen=True)
class Cycle:
    """Two retrainings.

    Args:
        setup: Where they log to.
        first: What the first one has said.
        second: What the second one has said, which trains with another seed.
        first_run: The first one's run.
    """

    setup: Setup
    first: str
    second: str
    first_run: str


@pytest.fixture(scope="module", params=["served", "direct"])
def cycle(request: pytest.FixtureRequest) -> Cycle:
    setup: Setup = request.getfixturevalue(request.param)
    said = []
    for parameters in ([], ["--params", "training.seed=7"]):
        status, output = setup.kedro_run("--pipelines", "retraining", *parameters)
        assert status == 0, output
        said.append(output)
    return Cycle(setup, *said, first_run=re.findall("run ([0-9a-f]{32}) in", said[0])[-1])


def find_aliases(setup: Setup) -> dict[str, int]:
    return dict(setup.database.query("SELECT alias, version FROM registered_model_aliases"))


def test_runs_are_in_the_database(cycle: Cycle) -> None:
    query = cycle.setup.database.query

    runs = dict(query("SELECT name, status FROM runs WHERE name = 'retraining test'"))
    assert runs == {"retraining test": "FINISHED"}
    (seeds,) = zip(*query("SELECT value FROM params WHERE key = 'training.seed' ORDER BY value"), strict=True)
    assert seeds == ("42", "7")
    of_first = f"WHERE run_uuid = '{cycle.first_run}'"
    metrics = dict(query(f"SELECT key, count(*) FROM metrics {of_first} GROUP BY key"))
    assert metrics["train/loss"] > 1
    assert metrics["val/loss"] == 2  # of as many validations
    assert {"test/perplexity", "gen/seq_rep_4"} <= metrics.keys()
    assert all(loss > 0 for (loss,) in query(f"SELECT value FROM metrics {of_first} AND key = 'test/loss'"))
    tags = dict(query(f"SELECT key, value FROM tags {of_first}"))
    assert (tags["environment"], tags["pipeline"], tags["data"]) == ("test", "retraining", "data/test")
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", tags["cycle"])
    inputs = query("SELECT name FROM datasets")
    assert {"train_token_ids", "validation_token_ids", "test_token_ids"} <= {name for (name,) in inputs}


def test_versions_and_aliases_are_in_the_database(cycle: Cycle) -> None:
    query = cycle.setup.database.query

    versions = query(
        "SELECT version, run_id, status FROM model_versions WHERE name = 'minigpt' ORDER BY version"
    )
    assert [(number, status) for number, _, status in versions] == [(1, "READY"), (2, "READY")]
    assert versions[0][1] == cycle.first_run
    decisions = dict(query("SELECT version, value FROM model_version_tags WHERE key = 'decision'"))
    assert decisions[1] == "promoted"
    expected = {"promoted": {"champion": 2, "previous_champion": 1}, "kept": {"champion": 1}}
    assert find_aliases(cycle.setup) == expected[decisions[2]]


def test_artifacts_are_in_the_bucket(cycle: Cycle) -> None:
    setup = cycle.setup
    objects = setup.objects.list_objects()
    prefix = (
        f"{setup.prefix}/1/" if setup.prefix == "served" else f"{setup.prefix}/"
    )  # a server names the experiment

    of_run = {key.removeprefix(prefix) for key in objects if key.startswith(prefix)}
    for file in ("model_card.md", "samples/generated.json", "validation/validation.html", "plots/loss.png"):
        assert f"{cycle.first_run}/artifacts/{file}" in of_run
    samples = json.loads(setup.objects.read(f"{prefix}{cycle.first_run}/artifacts/samples/generated.json"))
    assert {"epoch", "prompt", "text", "seed"} <= set(samples["columns"])
    ((model_id,),) = setup.database.query(
        "SELECT model_id FROM logged_models JOIN runs ON source_run_id = run_uuid ORDER BY start_time DESC LIMIT 1"
    )
    trained = setup.project / "data/test/06_models/trained_model.keras"
    assert setup.objects.read(f"{prefix}models/{model_id}/{MODEL}") == trained.read_bytes()


def test_nothing_of_it_is_in_the_project(cycle: Cycle) -> None:
    assert {path.name for path in cycle.setup.project.iterdir()} <= {
        "conf",
        "data",
        "src",
        "pyproject.toml",
        ".viz",
    }


def test_nothing_is_done_again_without_news(cycle: Cycle) -> None:
    status, output = cycle.setup.kedro_run("--pipelines", "retraining", "--params", "training.seed=7")

    assert status == 0, output
    assert "Nothing has changed since the cycle" in output


def test_a_fresh_process_writes_with_the_champion(cycle: Cycle, tmp_path: Path) -> None:
    status, output = cycle.setup.call(sys.executable, "-P", "-c", WRITE, cwd=tmp_path, PYTHONPATH="")

    assert status == 0, output
    text = output.partition("wrote: ")[2].strip()
    assert text.startswith("the best scene ")
    assert text != "the best scene "


def test_models_are_compared(cycle: Cycle) -> None:
    status, output = cycle.setup.kedro_run("--pipelines", "comparison")

    assert status == 0, output
    page = (cycle.setup.project / "data/08_reporting/comparison.html").read_text(encoding="utf-8")
    assert cycle.first_run in page
    assert cycle.setup.address in page


@pytest.fixture
def model_server(cycle: Cycle, tmp_path: Path) -> Iterator[str]:
    port = find_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("models", "serve", "--model-uri", "models:/minigpt@champion", "--env-manager", "local")
    server = Server(
        make_mlflow_command(*arguments, port=port),
        tmp_path / "serve.log",
        lambda: answers(f"{url}/ping"),
        cycle.setup.environment,
    )
    with server:
        yield url


def test_mlflow_serves_the_champion(model_server: str) -> None:
    parameters = {"max_new_tokens": 3, "seed": 7}

    answer = post(
        f"{model_server}/invocations",
        {"dataframe_records": [{"prompt": "the best scene"}], "params": parameters},
    )

    assert answer["predictions"][0]["text"].startswith("the best scene ")


def test_the_doctor_knows_the_store(cycle: Cycle) -> None:
    _, output = cycle.setup.python("-m", "minigpt_pipeline.doctor", COLUMNS="1000")

    place = "mlflow-artifacts:/1" if cycle.setup.prefix == "served" else "s3://models/direct"
    assert f"{cycle.setup.address} has the experiment minigpt, artifacts in {place}" in output


@pytest.fixture
def served_champion(cycle: Cycle, tmp_path: Path) -> Iterator[str]:
    """`python -m minigpt_pipeline.serving`, as `make serve` starts it."""
    port = find_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "minigpt_pipeline.serving", "--port", str(port)]
    log = tmp_path / "serving.log"
    with Server(
        command, log, lambda: is_ready(url), cycle.setup.environment, cwd=cycle.setup.project
    ) as server:
        yield url
        assert not [secret for secret in cycle.setup.secrets if secret in server.said]


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5):
            return True
    except OSError:
        return False


def test_one_goes_back_and_what_is_served_follows(
    cycle: Cycle, served_champion: str, database_ended: Callable[[], None]
) -> None:
    former = find_aliases(cycle.setup)["champion"]
    other = 3 - former
    request = {"prompt": "the best scene", "max_new_tokens": 5}
    answer = post(f"{served_champion}/v1/generate", request)
    assert answer["model_version"] == str(former)
    assert answer["texts"][0]["text"].startswith("the best scene ")

    status, output = cycle.setup.make("rollback", VERSION=str(other), REASON="tried")

    assert status == 0, output
    assert f"Version {other} of minigpt is in use, in place of version {former}" in output
    assert find_aliases(cycle.setup) == {"champion": other, "previous_champion": former}
    _, listed = cycle.setup.make("versions")
    assert re.search(rf"^{other}  champion .*of test$", listed, re.MULTILINE)
    assert f"from version {former} to version {other}, tried" in listed
    wait_until(lambda: post(f"{served_champion}/v1/generate", request)["model_version"] == str(other))
    database_ended()
    assert post(f"{served_champion}/v1/generate", request)["model_version"] == str(other)


def test_no_secret_is_written_anywhere(cycle: Cycle) -> None:
    setup = cycle.setup
    secrets = [secret.encode() for secret in setup.secrets]
    tables = [
        name
        for (name,) in setup.database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    written = {name: repr(setup.database.query(f"SELECT * FROM {name}")).encode() for name in tables}
    written |= {key: setup.objects.read(key) for key in setup.objects.list_objects()}
    written |= {str(path): path.read_bytes() for path in setup.project.rglob("*") if path.is_file()}

    assert {"runs", "tags", "params"} <= written.keys()
    assert [name for name, content in written.items() if any(secret in content for secret in secrets)] == []
