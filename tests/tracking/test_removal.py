"""What a removal leaves of runs, models and versions: in the store, on the disk, and behind a kill at each step."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import LoggedModelOutput, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from minigpt_pipeline.model_versions import CHAMPION, DECISION_TAG
from minigpt_pipeline.retention_policy import Bounds, Choice, Retention, choose
from minigpt_pipeline.tracking import removal
from minigpt_pipeline.tracking.model_registry import MODEL_FILE, ModelRegistry
from minigpt_pipeline.tracking.removal import KEEP_TAG, RunArchive

NOTHING = Retention(
    runs=Bounds(keep=0, days=0),
    models=Bounds(keep=0, days=0),
    champions=0,
    quarantine=Bounds(keep=None, days=None),
    schedules={"days": None},  # type: ignore[arg-type]
)
STEPS = [
    (MlflowClient, "set_tag"),
    (MlflowClient, "delete_model_version"),
    (MlflowClient, "delete_logged_model"),
    (MlflowClient, "delete_run"),
    (removal, "_remove_artifacts"),
    (SqlAlchemyStore, "_hard_delete_logged_model"),
    (SqlAlchemyStore, "_hard_delete_run"),
]
KEPT_ROWS = {"alembic_version", "experiments", "registered_models", "workspaces", "model_versions"}


pytestmark = pytest.mark.filterwarnings("ignore:The specified dataset source")


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def experiment_id(store: str) -> str:
    return str(mlflow.get_experiment_by_name("minigpt").experiment_id)


@pytest.fixture
def archive(experiment_id: str) -> RunArchive:
    return RunArchive(experiment_id, "minigpt")


@pytest.fixture
def log_run(store: str, tmp_path: Path) -> Callable[[], str]:
    """Make a run that has logged all that runs log; its model is a file of its id."""

    def log() -> str:
        with mlflow.start_run() as run:
            run_id = str(run.info.run_id)
            mlflow.log_metric("loss", 1.0)
            mlflow.log_param("width", 8)
            mlflow.log_text("a text", "text.txt")
            mlflow.log_input(MetaDataset(resolve_dataset_source(str(tmp_path)), name="reviews", digest="1"))
            model = mlflow.initialize_logged_model("model", source_run_id=run_id)
            file = tmp_path / MODEL_FILE
            file.parent.mkdir(exist_ok=True)
            file.write_text(run_id)
            MlflowClient().log_model_artifacts(model.model_id, str(tmp_path))
            mlflow.finalize_logged_model(model.model_id, "READY")
            MlflowClient().log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        return run_id

    return log


@pytest.fixture
def database(store: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(store.removeprefix("sqlite:///"))
    yield connection
    connection.close()


def count_rows(database: sqlite3.Connection) -> dict[str, int]:
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    counts = {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
    return {name: count for name, count in counts.items() if count}


def list_files(store: str) -> list[Path]:
    place = Path(mlflow.get_experiment_by_name("minigpt").artifact_location.removeprefix("file://"))
    return [path for path in place.rglob("*") if path.is_file()]


def find_runs(view: int = ViewType.ALL) -> set[str]:
    experiment = mlflow.get_experiment_by_name("minigpt")
    return {
        run.info.run_id for run in MlflowClient().search_runs([experiment.experiment_id], run_view_type=view)
    }


def test_of_a_run_that_is_removed_nothing_is_left(
    archive: RunArchive, log_run: Callable[[], str], store: str, database: sqlite3.Connection
) -> None:
    run_id = log_run()
    ModelRegistry("minigpt").register(run_id)
    MlflowClient().delete_registered_model_alias("minigpt", "challenger")
    assert {"metrics", "params", "inputs", "datasets", "logged_models"} <= count_rows(database).keys()
    assert list_files(store)

    archive.remove_run(run_id)
    archive.finish()

    assert find_runs() == set()
    assert count_rows(database).keys() <= KEPT_ROWS
    assert list_files(store) == []
    assert not list(Path(store.removeprefix("sqlite:///")).parent.rglob(f"*{run_id}*"))


def test_what_others_have_in_common_with_it_stays(
    archive: RunArchive, log_run: Callable[[], str], database: sqlite3.Connection
) -> None:
    first, second = log_run(), log_run()
    before = MlflowClient().get_run(second)

    archive.remove_run(first)
    archive.finish()

    after = MlflowClient().get_run(second)
    assert after.inputs.dataset_inputs == before.inputs.dataset_inputs != []
    assert after.data.metrics == before.data.metrics
    assert after.outputs.model_outputs
    (output,) = after.outputs.model_outputs
    location = MlflowClient().get_logged_model(output.model_id).artifact_location
    assert (Path(location.removeprefix("file://")) / MODEL_FILE).read_text() == second


def test_a_number_of_a_version_comes_never_twice(archive: RunArchive, log_run: Callable[[], str]) -> None:
    registry = ModelRegistry("minigpt")
    for expected in ("1", "2", "3"):
        run_id = log_run()
        assert registry.register(run_id) == expected
        archive.remove_run(run_id)
        archive.finish()
    assert registry.versions() == []


def test_a_model_goes_alone_and_its_run_keeps_its_figures(
    archive: RunArchive, log_run: Callable[[], str], store: str
) -> None:
    run_id = log_run()
    version = ModelRegistry("minigpt").register(run_id)

    archive.remove_model(run_id)

    run = MlflowClient().get_run(run_id)
    assert run.data.metrics == {"loss": 1.0}
    assert [path.name for path in list_files(store)] == ["text.txt"]
    with pytest.raises(MlflowException, match="not found"):
        MlflowClient().get_model_version("minigpt", version)
    (known,) = archive.list_runs({})
    assert not known.has_model


@pytest.mark.parametrize("what", ["remove_run", "remove_model"])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "behind"])
def test_a_removal_that_is_killed_leaves_nothing_half_and_the_next_goes_on(
    archive: RunArchive, log_run: Callable[[], str], store: str, monkeypatch: pytest.MonkeyPatch,
    owner: Any, name: str, what: str, is_done: bool,
) -> None:  # fmt: skip
    run_id, registry = log_run(), ModelRegistry("minigpt")
    registry.register(run_id)
    step = getattr(owner, name)

    def die(*arguments: Any) -> None:
        if is_done:
            step(*arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, die)
        with suppress(Killed):
            getattr(archive, what)(run_id)
    for number in registry.versions():
        registry.fetch(number, Path(store.removeprefix("sqlite:///")).parent)
    archive.finish()
    if (name, is_done) == ("set_tag", False):  # it had not begun
        getattr(archive, what)(run_id)

    assert find_runs() == ({run_id} if what == "remove_model" else set())
    assert len(list_files(store)) == (1 if what == "remove_model" else 0)


def test_runs_are_described_by_what_speaks_for_them(archive: RunArchive, log_run: Callable[[], str]) -> None:
    client, registry = MlflowClient(), ModelRegistry("minigpt")
    old, champion, kept, needed, newest = (log_run() for _ in range(5))
    registry.promote(registry.register(champion), None)
    version = registry.register(old)
    registry.record(version, {DECISION_TAG: "promoted"})
    registry.dismiss(version)
    client.set_tag(kept, KEEP_TAG, "for the report")
    with mlflow.start_run() as search, mlflow.start_run(nested=True) as trial:
        pass

    runs = {run.run_id: run for run in archive.list_runs({needed: "reviews comes from it"})}

    assert {run_id: run.needed_for for run_id, run in runs.items() if run.needed_for} == {
        champion: f"its version is the {CHAMPION}",
        kept: "it has the tag keep",
        needed: "reviews comes from it",
        newest: "its model is the newest of its data",
    }
    assert {run_id for run_id, run in runs.items() if run.was_in_use} == {old}
    assert runs[trial.info.run_id].search == search.info.run_id == runs[search.info.run_id].search
    assert choose([*runs.values()], NOTHING, 2e9).runs[0].run_id == old


def test_what_somebody_else_has_hidden_is_left_to_them(
    archive: RunArchive, log_run: Callable[[], str]
) -> None:
    run_id = log_run()
    MlflowClient().delete_run(run_id)

    archive.finish()

    assert find_runs(ViewType.DELETED_ONLY) == {run_id}
    MlflowClient().restore_run(run_id)


def test_a_database_is_made_smaller_only_where_that_is_worth_it_and_nobody_is_at_work(
    archive: RunArchive,
    log_run: Callable[[], str],
    database: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = log_run()
    client = MlflowClient()
    for number in range(200):
        client.set_tag(run_id, f"tag {number}", "x" * 4000)
    assert archive.compact() == 0
    archive.remove_run(run_id)
    assert archive.compact() == 0  # 0.8 MB are not worth it
    monkeypatch.setattr(removal, "SMALLEST_GAIN", 100_000)
    monkeypatch.setattr(removal, "SHARE_OF_FREE_PAGES", 0.1)
    database.execute("BEGIN IMMEDIATE")
    assert archive.compact() == 0
    database.rollback()

    size = database.execute("PRAGMA page_count").fetchone()[0]
    assert archive.compact() > 500_000
    assert database.execute("PRAGMA page_count").fetchone()[0] < size


def test_the_bytes_that_go_are_known_before(
    archive: RunArchive, log_run: Callable[[], str], store: str
) -> None:
    log_run()
    log_run()
    choice = choose(archive.list_runs({}), NOTHING, 2e9)
    assert archive.measure(Choice(choice.runs)) * 2 == sum(path.stat().st_size for path in list_files(store))


def test_a_run_goes_whose_model_went_before(
    archive: RunArchive, log_run: Callable[[], str], store: str
) -> None:
    run_id = log_run()
    archive.remove_model(run_id)
    (known,) = archive.list_runs({})

    assert archive.measure(Choice((known,))) == sum(path.stat().st_size for path in list_files(store)) > 0
    archive.remove_run(run_id)

    assert list_files(store) == []
    assert find_runs() == set()
