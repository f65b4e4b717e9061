import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.io import DatasetError
from mlflow import MlflowClient

from minigpt_pipeline.model.saved_model import TrainedModel, load_trained_model, save_trained_model
from minigpt_pipeline.model_versions import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, VersionError
from minigpt_pipeline.promotion_policy import Difference, Incumbent, Measured, decide
from minigpt_pipeline.release import describe
from minigpt_pipeline.tracking import ChampionDataset, ModelVersionsDataset, RegistryDataset
from minigpt_pipeline.tracking.model_logging import log_model
from minigpt_pipeline.tracking.model_registry import MODEL_FILE, ModelRegistry
from minigpt_pipeline.tracking.model_versions import MlflowModelVersion, MlflowModelVersions
from tests.made_up_films import KNOWN, PROMOTION, expect

BETTER, NOISE = Difference(-0.05, -0.07, -0.03), Difference(-0.01, -0.03, 0.01)
FIGURES = {"perplexity": 50.0, "unk_rate": 0.02, "seq_rep_4": 0.01, "megabytes": 1.0, "seconds_per_text": 0.1}

LogRun = Callable[..., str]


@pytest.fixture
def log_run(store: str, tmp_path: Path) -> LogRun:
    """Log a tiny model, and return its run."""

    def log(trained_model: TrainedModel | None = None, **tags: str) -> str:
        path = tmp_path / "trained_model.keras"
        save_trained_model(path, trained_model or expect(KNOWN))
        with mlflow.start_run() as run:
            mlflow.set_tags(tags)
            log_model(path)
        return str(run.info.run_id)

    return log


@pytest.fixture
def registry(store: str) -> ModelRegistry:
    return ModelRegistry("minigpt")


def find_file(registry: ModelRegistry, version: str) -> Path:
    """Return where the store keeps the file of a version."""
    source = MlflowClient().get_model_version(registry.name, version).source
    model = mlflow.get_logged_model(source.removeprefix("models:/"))
    return Path(model.artifact_location.removeprefix("file://"), MODEL_FILE)


@pytest.fixture
def version(registry: ModelRegistry, log_run: LogRun) -> MlflowModelVersion:
    """The challenger, of data in `data/test`."""
    return MlflowModelVersion(registry, registry.register(log_run(data="data/test")))


@pytest.mark.full
def test_a_version_is_tried_out_in_a_fresh_process(
    registry: ModelRegistry, version: MlflowModelVersion
) -> None:
    trial = version.try_out(["the film", "Zebra a PLOT"])

    assert trial.problem == ""
    assert 0 < trial.seconds_per_text < 60
    assert trial.megabytes == find_file(registry, "1").stat().st_size / 1e6


@pytest.mark.full
def test_a_version_that_can_not_continue_a_prompt_says_why(version: MlflowModelVersion) -> None:
    trial = version.try_out(["the film", "zebra crossing"])

    assert trial.problem.startswith("a fresh process can't use it: ")
    assert "None of the words of the prompt 'zebra crossing' is one of the 10 tokens" in trial.problem
    assert trial.megabytes > 0


@pytest.fixture
def damaged(registry: ModelRegistry, version: MlflowModelVersion) -> MlflowModelVersion:
    file = find_file(registry, "1")
    file.write_bytes(file.read_bytes()[:-100])
    return version


def test_a_version_whose_file_is_damaged_can_not_be_loaded(damaged: MlflowModelVersion) -> None:
    with pytest.raises(VersionError, match=r"^version 1: trained_model.keras is damaged or not a `"):
        damaged.load()  # whose message names no temporary folder


@pytest.mark.full
def test_a_version_whose_file_is_damaged_fails_in_a_fresh_process_too(damaged: MlflowModelVersion) -> None:
    problem = damaged.try_out(["the film"]).problem

    assert problem.startswith("a fresh process can't use it: ")
    assert "trained_model.keras is damaged or not a `.keras` archive" in problem


def test_a_version_whose_file_is_gone_is_not_even_tried(
    registry: ModelRegistry, version: MlflowModelVersion
) -> None:
    find_file(registry, "1").unlink()

    assert (
        "Version 1 of minigpt has no artifacts/trained_model.keras" in version.try_out(["the film"]).problem
    )
    with pytest.raises(VersionError, match="Version 1 of minigpt has no artifacts/"):
        version.load()


@pytest.mark.parametrize(("ours", "strange"), [(b"MiniGPT", b"MaxiGPT"), (b"embed_dim", b"width")])
def test_a_version_that_another_version_of_the_project_wrote_is_no_surprise(
    ours: bytes, strange: bytes, registry: ModelRegistry, log_run: LogRun
) -> None:
    model = expect({})
    config = model.keras_members["config.json"].replace(ours, strange)
    other = TrainedModel(model.keras_members | {"config.json": config}, model.tokenizer, model.metadata)

    with pytest.raises(VersionError, match=r"^version 1: \S"):
        MlflowModelVersion(registry, registry.register(log_run(other))).load()


def test_a_version_gives_its_model_and_knows_its_data(version: MlflowModelVersion) -> None:
    assert version.load().keras_members == expect(KNOWN).keras_members
    assert (version.data, version.settled) == ("data/test", "")


def test_a_version_is_settled_once_its_decision_is_carried_out(
    registry: ModelRegistry, version: MlflowModelVersion
) -> None:
    registry.record("1", {"decided_at": "2026-11-26 12:00:00 UTC", "decision": "kept"})
    assert version.settled == ""  # the challenger still: whoever decided was interrupted

    registry.dismiss("1")
    assert version.settled == "the decision of 2026-11-26 12:00:00 UTC was kept"


def test_a_challenger_that_is_in_use_already_is_settled(
    registry: ModelRegistry, version: MlflowModelVersion
) -> None:
    registry.record("1", {"decided_at": "2026-11-26 12:00:00 UTC", "decision": "promoted"})
    MlflowClient().set_registered_model_alias("minigpt", CHAMPION, "1")

    assert version.settled == "the decision of 2026-11-26 12:00:00 UTC was promoted"


def list_incumbents(registry: ModelRegistry) -> list[tuple[str, str]]:
    return [(alias, one.number) for alias, one in MlflowModelVersions(registry, "").incumbents()]


def test_incumbents_are_those_that_were_in_use(registry: ModelRegistry, log_run: LogRun) -> None:
    client = MlflowClient()
    assert list_incumbents(registry) == []
    registry.register(run_id := log_run())
    registry.register(log_run())
    assert list_incumbents(registry) == []

    client.set_registered_model_alias("minigpt", PREVIOUS_CHAMPION, "1")
    assert list_incumbents(registry) == [(PREVIOUS_CHAMPION, "1")]
    client.set_registered_model_alias("minigpt", CHAMPION, "1")  # a move that was cut short
    assert list_incumbents(registry) == [(CHAMPION, "1")]
    client.set_registered_model_alias("minigpt", CHAMPION, "2")  # by hand, onto the challenger
    assert list_incumbents(registry) == [(CHAMPION, "2"), (PREVIOUS_CHAMPION, "1")]
    assert MlflowModelVersions(registry, run_id).candidate().number == "1"


def test_news_are_what_is_undecided_or_broken(
    registry: ModelRegistry, version: MlflowModelVersion, log_run: LogRun
) -> None:
    dataset = ModelVersionsDataset(registered_model="minigpt")
    assert dataset.news() == "nothing is decided yet about version 1"

    registry.promote("1", None)
    assert dataset.news() == ""

    find_file(registry, "1").write_bytes(b"nothing")
    assert "the champion can't be read: version 1: trained_model.keras is damaged" in dataset.news()
    find_file(registry, "1").unlink()
    assert "the champion can't be read: Version 1 of minigpt has no artifacts/" in dataset.news()

    registry.promote(registry.register(log_run()), "1")
    MlflowClient().delete_model_version("minigpt", "2")
    assert dataset.news() == "minigpt has no champion"


def test_without_a_registered_model_there_is_no_news_and_no_champion(store: str) -> None:
    assert ModelVersionsDataset(registered_model="minigpt").news() == ""
    assert ChampionDataset(registered_model="minigpt", data="data/test").load() is None


def test_the_champion_is_loaded_and_left_out_with_a_warning_where_it_is_broken(
    registry: ModelRegistry, version: MlflowModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = ChampionDataset(registered_model="minigpt", data="data/test")
    assert dataset.load() is None
    registry.promote("1", None)

    champion = dataset.load()
    assert champion == load_trained_model(find_file(registry, "1"))
    assert caplog.messages == []
    assert ChampionDataset(registered_model="minigpt", data="data").load() is None  # it is of other data

    find_file(registry, "1").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING):
        assert dataset.load() is None
    assert "The champion is left out: version 1: trained_model.keras is damaged" in caplog.text


def test_versions_are_only_known_inside_a_run(store: str) -> None:
    with pytest.raises(DatasetError, match="No MLflow run is open"):
        ModelVersionsDataset(registered_model="minigpt").load()
    with mlflow.start_run() as run:
        assert (
            ModelVersionsDataset(registered_model="minigpt").load().describe_run()["run_id"]
            == run.info.run_id
        )


class Killed(BaseException):
    """The process is gone."""


class Life:
    """Ends after some writes to the store, whichever they are; endless unless it is told so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes: float = float("inf")
        self.depth = 0
        verbs = ("log_", "set_", "update_", "delete_", "create_")
        for name in [name for name in dir(MlflowClient) if name.startswith(verbs)]:
            monkeypatch.setattr(MlflowClient, name, self.count(getattr(MlflowClient, name)))

    def count(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if not self.depth:
                if self.writes <= 0:
                    raise Killed
                self.writes -= 1
            self.depth += 1
            try:
                return write(*arguments, **options)
            finally:
                self.depth -= 1

        return counted


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch) -> Life:
    return Life(monkeypatch)


def decide_on(versions: MlflowModelVersions, broken: set[str], difference: Difference) -> dict[str, Any]:
    """As `decide_promotion`, of versions that need no measurement."""
    version, incumbents = versions.candidate(), versions.incumbents()
    held = [alias for alias, one in incumbents if one.number == version.number]
    candidate = Measured(version.number, settled=version.settled or "".join(held), figures=FIGURES)
    measured = [
        Incumbent(
            Measured(one.number, "it is broken" if one.number in broken else "", figures=FIGURES),
            alias == CHAMPION,
            difference,
        )
        for alias, one in incumbents
    ]
    decision = decide(candidate, measured, PROMOTION)

    def tell(model: Measured, **more: Any) -> dict[str, Any]:
        return {
            "version": model.version, "problem": model.problem, "settled": model.settled, "figures": dict(model.figures)
        } | more  # fmt: skip

    return {
        "outcome": str(decision.outcome),
        "champion": decision.champion,
        "reasons": list(decision.reasons),
        "candidate": tell(candidate),
        "incumbents": [tell(one.model, in_use=one.in_use) for one in measured],
        "thresholds": PROMOTION.model_dump(),
        "data": {"reviews": 3, "digest": "0a1b"},
        **versions.describe_run(),
    }


def read_records(run_id: str) -> dict[str, Any]:
    files = [file.path for file in MlflowClient().list_artifacts(run_id, "promotion")]
    return {path: mlflow.artifacts.load_dict(f"runs:/{run_id}/{path}") for path in files}


CASES: dict[str, tuple[Mapping[str, str], set[str], Difference, dict[str, str]]] = {
    "first": ({}, set(), BETTER, {CHAMPION: "3"}),
    "better": (
        {CHAMPION: "2", PREVIOUS_CHAMPION: "1"},
        set(),
        BETTER,
        {CHAMPION: "3", PREVIOUS_CHAMPION: "2"},
    ),
    "kept": (
        {CHAMPION: "2", PREVIOUS_CHAMPION: "1"},
        set(),
        NOISE,
        {CHAMPION: "2", PREVIOUS_CHAMPION: "1"},
    ),
    "champion broken, better": (
        {CHAMPION: "2", PREVIOUS_CHAMPION: "1"},
        {"2"},
        BETTER,
        {CHAMPION: "3", PREVIOUS_CHAMPION: "1"},
    ),
    "champion broken, restored": (
        {CHAMPION: "2", PREVIOUS_CHAMPION: "1"},
        {"2"},
        NOISE,
        {CHAMPION: "1"},
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_a_crash_between_any_two_writes_leaves_one_champion_and_the_next_decision_ends_it(
    case: str, log_run: LogRun, life: Life
) -> None:
    before, broken, difference, after = CASES[case]
    run_ids = [log_run() for _ in range(3)]
    first_writes = 0
    for writes in itertools.count():
        registry = ModelRegistry(f"minigpt-{writes}")
        for run_id in run_ids:
            registry.register(run_id)
        for alias, number in before.items():
            MlflowClient().set_registered_model_alias(registry.name, alias, number)
        dataset = RegistryDataset(registered_model=registry.name)
        versions = MlflowModelVersions(registry, run_ids[-1])

        with mlflow.start_run(run_ids[-1]):
            record = decide_on(versions, broken, difference)
            record["decided_at"] = f"2026-11-26 12:00:00 UTC {2 * writes}"
            life.writes = writes
            try:
                dataset.save(record)
                crashed = False
            except Killed:
                crashed = True
            life.writes = float("inf")
            between = registry.aliases()
            assert between.get(CHAMPION) in {before.get(CHAMPION), after[CHAMPION]}
            for number in registry.versions():  # what `make versions` prints
                list(describe(number, "", registry.tags(number)))
            records = read_records(run_ids[-1])

            again = decide_on(versions, broken, difference)
            again["decided_at"] = f"2026-11-26 12:00:00 UTC {2 * writes + 1}"
            dataset.save(again)

        assert registry.aliases() == after, writes
        assert again["champion"] == after[CHAMPION]
        assert read_records(run_ids[-1]).items() >= records.items()
        tags = registry.tags("3")
        newest = record if again["candidate"]["settled"] else again
        assert (tags["decision"], tags["decided_at"]) == (newest["outcome"], newest["decided_at"])
        assert newest is record or between != after  # where nothing was left to do, nothing is decided again
        if not crashed:
            assert records[f"promotion/20261126120000{2 * writes}_{record['outcome']}.json"] == record
            break
        first_writes += 1
    assert first_writes >= 12  # the artifact, the tags, the description, the run's tag, the aliases


@pytest.fixture
def decided(registry: ModelRegistry, log_run: LogRun) -> Iterator[MlflowModelVersions]:
    """Version 1 is in use, the run of version 2 is open."""
    registry.promote(registry.register(log_run(git_commit="of 1")), None)
    run_id = log_run(cycle="c", environment="test", git_commit="of 2")
    with mlflow.start_run(run_id):
        yield MlflowModelVersions(registry, run_id)


def test_a_decision_is_in_the_tags_and_in_the_description(
    decided: MlflowModelVersions, registry: ModelRegistry
) -> None:
    record = decide_on(decided, set(), BETTER)
    RegistryDataset(registered_model="minigpt").save(record)

    found = MlflowClient().get_model_version("minigpt", "2")
    assert found.description == record["reasons"][0]
    assert found.tags["decision"] == "promoted"
    assert found.tags["decision_reasons"] == record["reasons"][0]
    assert json.loads(found.tags["decision_figures"]) == {"1": FIGURES, "2": FIGURES}
    assert json.loads(found.tags["decision_thresholds"]) == PROMOTION.model_dump()
    assert json.loads(found.tags["decision_data"]) == {"reviews": 3, "digest": "0a1b"}
    assert found.tags["decided_at"] == record["decided_at"]
    of_run = {
        name: found.tags[f"decision_{name}"] for name in ("run_id", "cycle", "environment", "git_commit")
    }
    assert of_run == {
        "run_id": found.run_id, "cycle": "c", "environment": "test", "git_commit": "of 2"
    }  # fmt: skip
    assert mlflow.get_run(found.run_id).data.tags["decision"] == "promoted"
    assert list(read_records(found.run_id).values()) == [record]
    assert MlflowClient().get_model_version("minigpt", "1").tags == {}


def test_a_version_that_is_in_use_again_keeps_where_it_comes_from(
    decided: MlflowModelVersions, registry: ModelRegistry
) -> None:
    MlflowClient().set_registered_model_alias("minigpt", PREVIOUS_CHAMPION, "1")
    MlflowClient().delete_registered_model_alias("minigpt", CHAMPION)
    record = decide_on(decided, set(), NOISE)

    RegistryDataset(registered_model="minigpt").save(record)

    assert record["outcome"] == "restored"
    assert registry.aliases() == {CHAMPION: "1"}
    tags = registry.tags("1")
    assert (tags["decision"], tags["git_commit"], tags["decision_git_commit"]) == ("restored", "of 1", "of 2")
    assert [*read_records(MlflowClient().get_model_version("minigpt", "1").run_id).values()] == [record]


def test_what_is_settled_is_not_recorded_again(decided: MlflowModelVersions, registry: ModelRegistry) -> None:
    dataset = RegistryDataset(registered_model="minigpt")
    dataset.save(decide_on(decided, set(), NOISE))
    tags, records = registry.tags("2"), read_records(mlflow.active_run().info.run_id)

    again = decide_on(decided, set(), BETTER)
    dataset.save(again | {"decided_at": "2027-01-01 12:00:00 UTC"})

    assert (again["outcome"], again["candidate"]["settled"]) == (
        "kept",
        f"the decision of {tags['decided_at']} was kept",
    )
    assert registry.tags("2") == tags
    assert read_records(mlflow.active_run().info.run_id) == records
    assert registry.aliases() == {CHAMPION: "1"}


def test_where_nothing_can_be_used_no_alias_moves_but_the_challengers(
    decided: MlflowModelVersions, registry: ModelRegistry
) -> None:
    record = decide_on(decided, {"1"}, BETTER)
    vacant = record | {"outcome": "vacant", "champion": None, "reasons": ["All are broken"]}
    assert registry.aliases() == {CHAMPION: "1", CHALLENGER: "2"}

    RegistryDataset(registered_model="minigpt").save(vacant)

    assert registry.aliases() == {CHAMPION: "1"}
    assert registry.tags("2")["decision"] == "vacant"
