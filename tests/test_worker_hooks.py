import json
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from minigpt_pipeline.parameters import ComputeSettings
from minigpt_pipeline.pipeline_registry import register_pipelines
from minigpt_pipeline.worker_hooks import SilentLog, WorkerHooks, check_run

COMPUTE = {"device": "cpu", "precision": "float32", "memory_growth": True, "deterministic": True}


def be_worker(patched: pytest.MonkeyPatch, index: int) -> None:
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    patched.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}))


def catalog_with(strategy: str) -> DataCatalog:
    settings: Any = ComputeSettings(**COMPUTE, strategy=strategy)
    return DataCatalog({"compute": MemoryDataset(settings, copy_mode="assign")})


def pipeline(*names: str) -> Pipeline:
    return sum((register_pipelines()[name] for name in names), Pipeline([]))


def of_other(pipeline: Pipeline) -> Pipeline:
    return pipeline.filter(node_names=["train_model"])


def test_the_chief_runs_training_and_what_follows_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    be_worker(monkeypatch, 0)
    catalog = catalog_with("multi_worker")

    for names in (["training"], ["training", "evaluation", "generation"], ["evaluation"], ["ingestion"]):
        check_run(pipeline(*names), catalog)
        WorkerHooks().before_pipeline_run(pipeline(*names), catalog)

    assert set(catalog.keys()) == {"compute"}


def test_what_another_worker_makes_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    be_worker(monkeypatch, 1)
    catalog, training = catalog_with("multi_worker"), of_other(pipeline("training", "evaluation"))

    WorkerHooks().before_pipeline_run(training, catalog)

    assert training.all_outputs() == {"trained_model", "training_history", "training_speed"}
    assert all(isinstance(catalog[name], MemoryDataset) for name in training.all_outputs())
    assert isinstance(catalog.load("training_log"), SilentLog)


def test_another_worker_does_nothing_but_train(monkeypatch: pytest.MonkeyPatch) -> None:
    be_worker(monkeypatch, 1)

    for run, strategy in (
        (of_other(pipeline("training")), "one_device"),
        (pipeline("training"), "multi_worker"),
        (pipeline("ingestion"), "multi_worker"),
        (pipeline("sweep"), "multi_worker"),
    ):
        with pytest.raises(
            ValueError, match=r"makes this process worker 1, .* add --pipelines training --params"
        ):
            check_run(run, catalog_with(strategy))


def test_the_data_is_there_before_the_workers_start(monkeypatch: pytest.MonkeyPatch) -> None:
    be_worker(monkeypatch, 0)

    with pytest.raises(
        ValueError, match=r"this run makes tokenizer, train_token_ids, .*: run --pipelines data first"
    ):
        check_run(pipeline("__default__"), catalog_with("multi_worker"))


def test_retraining_works_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    be_worker(monkeypatch, 0)

    with pytest.raises(ValueError, match="is for --pipelines training; retraining decides on one machine"):
        check_run(of_other(pipeline("retraining")), catalog_with("multi_worker"))


def test_a_search_trains_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    be_worker(monkeypatch, 0)

    with pytest.raises(ValueError, match="a search takes one_device or mirrored"):
        check_run(pipeline("sweep"), catalog_with("multi_worker"))


def test_workers_without_a_cluster_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)

    check_run(pipeline("__default__"), catalog_with("mirrored"))
    with pytest.raises(ValueError, match="needs the variable TF_CONFIG, and it is not set"):
        check_run(pipeline("training"), catalog_with("multi_worker"))
