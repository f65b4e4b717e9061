"""Each row of promotion's truth table, with models that are measured and a registry whose aliases move.

Only fresh processes are left out, which take seconds: see test_model_versions.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from minigpt_pipeline.model.saved_model import TrainedModel, save_trained_model
from minigpt_pipeline.model_versions import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, Trial, VersionError
from minigpt_pipeline.parameters import ComputeSettings
from minigpt_pipeline.pipelines.promotion.nodes import decide_promotion, settle_promotion
from minigpt_pipeline.tracking import ModelVersionsDataset, RegistryDataset
from minigpt_pipeline.tracking.model_logging import log_model
from minigpt_pipeline.tracking.model_registry import MODEL_FILE, ModelRegistry
from minigpt_pipeline.tracking.model_versions import MlflowModelVersion
from tests.made_up_films import (
    GENERATION,
    KNOWN,
    PROMOTION,
    REVIEWS,
    SUBWORDS,
    TRAIN,
    VALIDATION,
    VECTORIZATION,
    expect,
)

pytestmark = pytest.mark.full

COMPUTE = ComputeSettings(device="cpu", precision="float32", memory_growth=True, deterministic=True)


def make_broken() -> TrainedModel:
    model = expect({}).load_model()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    return TrainedModel.from_model(model, expect({}).tokenizer, {"epochs": 1})


MODELS: dict[str, Callable[[], TrainedModel]] = {
    "fresh": lambda: expect({}),
    "trained": lambda: expect(KNOWN),
    "worse": lambda: expect(dict.fromkeys(KNOWN, -1.0)),
    "optimist": lambda: expect(KNOWN | {"good": 1.0}),
    "pessimist": lambda: expect(KNOWN | {"dull": 1.0}),
    "subwords": lambda: expect({}, SUBWORDS),
    "broken": make_broken,
}


def find_folder(version: str) -> Path:
    source = MlflowClient().get_model_version("minigpt", version).source
    model = mlflow.get_logged_model(source.removeprefix("models:/"))
    return Path(model.artifact_location.removeprefix("file://"))


def damage(version: str) -> None:
    (find_folder(version) / MODEL_FILE).write_bytes(b"nothing")


def lose_artifacts(version: str) -> None:
    find_folder(version).rename(find_folder(version).with_name("elsewhere"))


def delete(version: str) -> None:
    MlflowClient().delete_model_version("minigpt", version)


def put_in_use(version: str) -> None:
    MlflowClient().set_registered_model_alias("minigpt", CHAMPION, version)


def nothing() -> None:
    """Nothing happens between two decisions."""


KEPT = {CHAMPION: "1"}
ROWS: dict[str, tuple[list[str], Callable[[], None], dict[str, float], str, dict[str, str], str]] = {
    # models of the versions, what happens before the last is decided on, floors: outcome, aliases, reason
    "better": (
        ["fresh", "trained"], nothing, {}, "promoted", {CHAMPION: "2", PREVIOUS_CHAMPION: "1"},
        "Version 2 is better than version 1: -",
    ),
    "equal": (["trained", "trained"], nothing, {}, "kept", KEPT, "no better than noise to version 1: +0.0000"),
    "worse": (["trained", "worse"], nothing, {}, "kept", KEPT, "Version 2 is worse than version 1: +"),
    "within noise": (["optimist", "pessimist"], nothing, {}, "kept", KEPT, "no better than noise to version 1"),
    "under a floor": (
        ["fresh", "trained"], nothing, {"max_megabytes": 0.001}, "kept", KEPT,
        "at most 0.001 is allowed (max_megabytes)",
    ),
    "first": (["trained"], nothing, {}, "promoted", KEPT, "there is no other model to be better than"),
    "first, under a floor": (
        ["trained"], nothing, {"max_unk_rate": 0.001}, "vacant", {}, "at most 0.001 is allowed (max_unk_rate)"
    ),
    "not loadable": (["fresh", "trained"], lambda: damage("2"), {}, "kept", KEPT, "Version 2 can't be used: "),
    "NaN": (["fresh", "broken"], nothing, {}, "kept", KEPT, "its perplexity on the validation reviews is no number"),
    "different vocabulary": (
        ["subwords", "trained"], nothing, {}, "promoted", {CHAMPION: "2", PREVIOUS_CHAMPION: "1"},
        " bits per character",
    ),
    "champion deleted, better than the one before": (
        ["worse", "fresh", "trained"], lambda: delete("2"), {}, "promoted",
        {CHAMPION: "3", PREVIOUS_CHAMPION: "1"}, "Version 3 is better than version 1",
    ),
    "champion deleted, no better than the one before": (
        ["worse", "trained", "worse"], lambda: delete("2"), {}, "restored", KEPT,
        "no better than noise to version 1",
    ),
    "champion deleted, no other": (
        ["fresh", "trained"], lambda: delete("1"), {}, "promoted", {CHAMPION: "2"}, "there is no other model"
    ),
    "champion's artifacts deleted": (
        ["fresh", "trained"], lambda: lose_artifacts("1"), {}, "promoted", {CHAMPION: "2"},
        "Version 1 can't be used: Version 1 of minigpt has no artifacts/trained_model.keras",
    ),
    "champion's file corrupt, no better than the one before": (
        ["worse", "trained", "worse"], lambda: damage("2"), {}, "restored", KEPT,
        "Version 2 can't be used: version 2: trained_model.keras is damaged",
    ),
    "champion's file corrupt, better than the one before": (
        ["worse", "fresh", "trained"], lambda: damage("2"), {}, "promoted",
        {CHAMPION: "3", PREVIOUS_CHAMPION: "1"}, "Version 2 can't be used: version 2: trained_model.keras",
    ),
    "champion and candidate corrupt": (
        ["worse", "fresh", "trained"], lambda: [damage(one) for one in "23"], {}, "restored", KEPT,
        "Version 3 can't be used: version 3: trained_model.keras is damaged",
    ),
    "alias moved by hand to an earlier version": (
        ["worse", "trained", "fresh"], lambda: put_in_use("1"), {}, "promoted",
        {CHAMPION: "3", PREVIOUS_CHAMPION: "1"}, "Version 3 is better than version 1",
    ),
}  # fmt: skip


def try_out_here(version: MlflowModelVersion, prompts: Sequence[str]) -> Trial:
    try:
        with version.fetch() as path:
            megabytes = path.stat().st_size / 1e6
        version.load()
    except VersionError as error:
        return Trial(str(error))
    return Trial(seconds_per_text=0.1, megabytes=megabytes)


def log_run(trained_model: TrainedModel, path: Path) -> str:
    save_trained_model(path, trained_model)
    with mlflow.start_run() as run:
        log_model(path)
    return str(run.info.run_id)


def decide(run_id: str, trained_model: TrainedModel, **floors: float) -> dict[str, Any]:
    """As the pipeline does it, in the run of the model."""
    with mlflow.start_run(run_id):
        record = decide_promotion(
            trained_model,
            TRAIN,
            VALIDATION,
            [REVIEWS],
            ModelVersionsDataset(registered_model="minigpt").load(),
            PROMOTION.model_copy(update=floors),
            GENERATION,
            VECTORIZATION,
            COMPUTE,
        )
        RegistryDataset(registered_model="minigpt").save(settle_promotion(record))
    return record


def list_aliases() -> dict[str, str]:
    return ModelRegistry("minigpt").aliases()


@pytest.fixture(autouse=True)
def _no_fresh_processes(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MlflowModelVersion, "try_out", try_out_here)


@pytest.mark.parametrize("row", ROWS)
def test_each_row(row: str, tmp_path: Path) -> None:
    names, happen, floors, outcome, aliases, reason = ROWS[row]
    *formers, candidate = (MODELS[name]() for name in names)
    client = MlflowClient()
    for number, former in enumerate(formers, start=1):
        run_id = log_run(former, tmp_path / "trained_model.keras")
        with mlflow.start_run(run_id):
            ModelVersionsDataset(registered_model="minigpt").load().candidate()
        put_in_use(str(number))
        client.delete_registered_model_alias("minigpt", CHALLENGER)
    if len(formers) == 2:
        client.set_registered_model_alias("minigpt", PREVIOUS_CHAMPION, "1")
    run_id = log_run(candidate, tmp_path / "trained_model.keras")
    with mlflow.start_run(run_id):
        number = ModelVersionsDataset(registered_model="minigpt").load().candidate().number
    happen()

    record = decide(run_id, candidate, **floors)

    tags = client.get_model_version("minigpt", number).tags
    assert (record["outcome"], record["champion"]) == (outcome, aliases.get(CHAMPION))
    assert list_aliases() == aliases
    assert tags["decision"] == outcome
    assert reason in tags["decision_reasons"]

    again = decide(run_id, candidate, **floors)

    assert (again["outcome"], again["champion"]) == (
        ("vacant" if outcome == "vacant" else "kept"),
        aliases.get(CHAMPION),
    )
    assert list_aliases() == aliases
    assert client.get_model_version("minigpt", number).tags == tags


def test_an_alias_moved_by_hand_onto_the_challenger_is_left_alone(tmp_path: Path) -> None:
    runs = [log_run(MODELS[name](), tmp_path / "trained_model.keras") for name in ("trained", "worse")]
    decide(runs[0], MODELS["trained"]())
    with mlflow.start_run(runs[1]):
        ModelVersionsDataset(registered_model="minigpt").load().candidate()
    put_in_use("2")

    record = decide(runs[1], MODELS["worse"]())

    assert record["reasons"] == ["Version 2 is not decided on again: it is the champion already"]
    assert list_aliases() == {CHAMPION: "2"}
