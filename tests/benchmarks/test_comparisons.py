import dataclasses
import json
import string
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.comparisons import (
    data,
    generation,
    machine_limit,
    perplexity_scaling,
    scaling,
    startup,
    time_to_perplexity,
    training,
)
from benchmarks.corpus import TOKENIZER_FILE, draw_sequences, find_data
from benchmarks.harness import PROJECT
from benchmarks.options import Options
from benchmarks.reference import mini_gpt
from benchmarks.worker import MissingError
from minigpt_pipeline.commit import read_commit, shorten_commit
from minigpt_pipeline.datasets import ArrowTableDataset, TokenizerDataset
from minigpt_pipeline.datasets.reviews_archive_dataset import stream_members
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.text.imdb import parse_reviews
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

TINY = {
    "model": {"sequence_length": 8, "embed_dim": 8, "head_dim": 4, "feed_forward_dim": 8},
    "training": {"batch_size": 4},
    "device": "cpu",
}


@pytest.fixture
def make_options(tmp_path: Path) -> Callable[..., Options]:
    def make(is_quick: bool = True) -> Options:
        folder = tmp_path / "work"
        folder.mkdir()
        return Options(
            is_quick=is_quick,
            rounds=None,
            device="cpu",
            data=tmp_path / "data",
            output=tmp_path,
            images=tmp_path,
            folder=folder,
            report=print,
        )

    return make


@pytest.fixture
def sequences(tmp_path: Path) -> str:
    file = tmp_path / "sequences.npy"
    np.save(file, draw_sequences(20, 8, 50))
    return str(file)


def test_drawn_words_fall_as_words_of_real_reviews_do() -> None:
    token_ids = draw_sequences(2000, 80, 20000)

    words = token_ids[token_ids != 0]
    assert (words <= 2000).mean() == pytest.approx(0.88, abs=0.01)
    assert (words <= 4000).mean() == pytest.approx(0.92, abs=0.01)
    assert words.max() < 20000
    # Of the real training reviews 78.9 words of 80 are predicted.
    assert (token_ids[:, 1:] != 0).sum(axis=1).mean() == pytest.approx(78.9, abs=0.7)


def test_generated_archives_are_read_like_the_real_one(tmp_path: Path) -> None:
    drawn = list(data.draw_reviews(60))
    data.write_archive(tmp_path / "reviews.tar.gz", drawn)

    reviews = parse_reviews(stream_members(tmp_path / "reviews.tar.gz"), include_unlabelled=False)

    assert sorted(reviews["text"]) == sorted(review.text for review in drawn)
    assert reviews["movie_id"].nunique() == 60
    assert set(reviews["split"]) == {"train", "test"}


def test_generated_reviews_are_as_long_as_real_ones() -> None:
    lengths = [len(review.text) for review in data.draw_reviews(1500)]

    assert np.median(lengths) == pytest.approx(971, rel=0.1)  # characters, of the real ones
    assert np.mean(lengths) == pytest.approx(1311, rel=0.1)


def test_the_machine_s_limit_is_the_best_product_of_the_run() -> None:
    samples = {
        "float32": [2e11, 1e11],
        "float32 2x2x2": [2e11, 1e11],
        "float32 4x4x4": [1e11, 1e11],
        "bfloat16 2x2x2": [3e11, 4e11],
    }

    limit, described = machine_limit.find_limit([{"name": "machine limit", "samples": samples}])

    assert limit == 4e11
    assert "200 GFLOP/s in float32, 400 GFLOP/s in bfloat16" in described
    assert "bfloat16 2x2x2" in described


def test_the_share_of_the_limit_counts_the_same_work_for_all() -> None:
    limit = {"name": "machine limit", "samples": {"float32 2x2x2": [1e11], "bfloat16 2x2x2": [3.3079296e11]}}
    row = {"name": "ours", "settings": {"vocabulary_size": 20000}, "medians": {"tokens_per_second": 5000.0}}

    notes = training.conclude([limit | {"medians": {}}, row])

    assert row["share_of_limit"] == pytest.approx(0.5)
    assert "33.1 MFLOP a word" in notes[1]


def test_sizes_change_one_at_a_time() -> None:
    sizes = scaling.list_sizes(is_quick=False)

    assert sizes[0] == {"vocabulary": 20000, "width": 256, "context": 80, "batch": 128}
    assert all(len(other.items() - sizes[0].items()) == 1 for other in sizes[1:])
    assert {other["vocabulary"] for other in sizes} == {5000, 10000, 20000, 40000, 80000}


def test_the_plot_has_a_point_for_every_size(tmp_path: Path) -> None:
    rows = [
        {
            "name": scaling.describe_sizes(series, sizes),
            "medians": {"tokens_per_second": 1e6 / sizes["width"]},
            "peak_memory_bytes": 1e9,
        }
        for series in scaling.SERIES
        for sizes in scaling.list_sizes(is_quick=False)
    ]

    figure = scaling.draw(rows)

    points = [len(panel.lines[0].get_xdata()) for panel in figure.axes]
    assert points == 2 * [len(sizes) for sizes in scaling.SIZES.values()]
    assert all(
        low == 0 and high >= line.get_ydata().max()
        for axes in figure.axes
        for low, high in [axes.get_ylim()]
        for line in axes.lines
    )
    scaling.conclude(rows, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 0


def test_project_training_counts_words_and_trains(sequences: str) -> None:
    worker = training.ProjectTraining(sequences, 50, 3, TINY)
    weights = worker.model.count_params()

    measured = worker.measure()

    assert measured["tokens_per_second"] > 0
    assert worker.info["weights"] == weights
    assert worker.info["model"]["embed_dim"] == 8
    assert worker.next_batch == training.WARM_UP_STEPS + 3


def test_reference_training_trains_on_the_same_batches(
    sequences: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_model = mini_gpt.create_model
    monkeypatch.setattr(mini_gpt, "create_model", lambda size: create_model(size, 8, 8, 2, 8))
    worker = training.ReferenceTraining(sequences, 50, batch_size=4, steps=3, device="cpu")
    before = worker.model.optimizer.iterations.numpy()

    worker.measure()

    assert worker.model.optimizer.iterations.numpy() - before == 3


def test_without_pytorch_nanogpt_is_missing(sequences: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(MissingError, match="PyTorch is not installed"):
        training.NanoGPTTraining(sequences, 50, 4, 3, "cpu", "float32")


def test_project_generation_writes_as_many_words_as_asked(sequences: str) -> None:
    worker = generation.ProjectGeneration(5, 0.0, 3, TINY)

    assert [len(text) for text in worker.write_texts()] == [5, 5, 5]
    measured = worker.measure()
    assert measured["tokens_per_second"] == pytest.approx(1 / measured["seconds_per_token"])


def test_texts_of_another_length_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(generation.GenerationWorker):
        def write_texts(self) -> list[list[int]]:
            return [[2]]

    with pytest.raises(ValueError, match=r"Expected 5 new tokens of each text, got \[1\]"):
        Short(5, 0.0, 1).write()


def test_a_training_that_is_good_enough_ends() -> None:
    log: TrainingLog = time_to_perplexity.ClockedLog(100.0, print)
    log.log(1, {"train/loss": 1.0})
    log.log(2, {"val/perplexity": 101.0})

    with pytest.raises(time_to_perplexity.TargetReachedError):
        log.log(3, {"val/perplexity": 99.0})
    assert isinstance(log, time_to_perplexity.ClockedLog)
    assert log.best == 99.0


def save_reviews(folder: Path) -> Path:
    """Save what vectorization leaves: 28 words, some of prompts among them, and reviews of ten."""
    (folder / "04_feature").mkdir(parents=True)
    (folder / "05_model_input").mkdir()
    tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", *string.ascii_lowercase[:24], "the", "this")))
    TokenizerDataset(filepath=str(folder / TOKENIZER_FILE)).save(tokenizer)
    rng = np.random.default_rng(1)
    for part in ("train", "validation", "test"):
        token_ids = list(rng.integers(2, 28, size=(40, 10), dtype=np.int32))
        table = pa.table({"review_id": [f"{part}_{number}" for number in range(40)], "token_ids": token_ids})
        ArrowTableDataset(filepath=str(folder / f"05_model_input/{part}_token_ids.parquet")).save(table)
    return folder


def test_the_project_is_timed_until_it_is_good_enough(tmp_path: Path) -> None:
    data, copy = save_reviews(tmp_path / "data"), tmp_path / "project"
    worker = time_to_perplexity.ProjectTraining(str(data), str(copy), None, 30.0, "test", TINY)

    measured = worker.measure()

    assert measured["seconds"] > 0
    assert 20 < measured["perplexity"] <= 30.0


def test_a_point_of_the_study_is_trained_once_for_a_configuration_and_drawn(
    tmp_path: Path, make_options: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_reviews(tmp_path / "data")
    options = dataclasses.replace(make_options(), minutes=0.5)
    plan = perplexity_scaling.plan(options)  # room for two points of 0.2 minutes
    assert [variant.worker.split(":")[1] for variant in plan.variants] == ["StudyPoint", "StudyPoint"]
    settings = {**plan.variants[0].settings, **plan.variants[0].paths}
    training = settings["overrides"]["training"] | TINY["training"] | {"max_minutes": 0.01}
    settings |= {"overrides": TINY | {"training": training}}

    measured = perplexity_scaling.StudyPoint(**settings).measure()

    again = perplexity_scaling.plan(dataclasses.replace(options, minutes=0.0))
    (stored,) = again.variants
    kept = perplexity_scaling.StoredPoint(**stored.paths)
    assert kept.measure() == measured
    assert kept.info == {"commit": shorten_commit(str(read_commit(PROJECT)))}
    assert 2 < measured["perplexity"] < 60
    assert measured["words"] > 0
    monkeypatch.setattr(perplexity_scaling, "read_configuration", lambda _: {"model": "another"})
    assert [variant.worker.split(":")[1] for variant in perplexity_scaling.plan(options).variants] == [
        "StudyPoint",
        "StudyPoint",
    ]
    point = json.loads(Path(stored.paths["file"]).read_text())
    assert len(perplexity_scaling.draw({"width 64, 5 minutes": point}).axes) == 3


def test_a_point_of_other_data_is_another(
    tmp_path: Path, make_options: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_reviews(tmp_path / "data")
    words = perplexity_scaling.describe_data(folder)
    assert (words["reviews"], words["tokens"]) == (40, 400)
    options = make_options()
    monkeypatch.setattr(perplexity_scaling, "read_configuration", lambda _: {})
    first = perplexity_scaling.plan(options).variants[0].paths["file"]

    other = WordTokenizer(Vocabulary(("", "[UNK]", "other")))
    TokenizerDataset(filepath=str(folder / TOKENIZER_FILE)).save(other)

    assert perplexity_scaling.describe_data(folder) == words | {"tokenizer": other.digest}
    assert perplexity_scaling.plan(options).variants[0].paths["file"] != first


def test_a_point_that_names_no_commit_is_shown_without_one(tmp_path: Path) -> None:
    point = {"parameters": 9, "looks": [{"step": 5, "words": 20.0, "minutes": 0.1, "perplexity": 7.5}]}
    file = tmp_path / "point.json"
    file.write_text(json.dumps(point))

    stored = perplexity_scaling.StoredPoint(str(file))

    assert stored.measure() == {"perplexity": 7.5, "minutes": 0.1, "words": 20.0, "parameters": 9.0}
    cells = [
        column.show({"info": stored.info, "medians": stored.measure()})
        for column in perplexity_scaling.COLUMNS
    ]
    assert cells == ["0.00", "0.00", "0.1", "7.5", "–"]


def test_an_epoch_of_the_reference_is_timed_by_its_median_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fitted:
        def fit(self, inputs: np.ndarray, labels: np.ndarray, *, callbacks: list[Any], **_: object) -> None:
            np.testing.assert_array_equal(inputs[:, 1:], labels[:, :-1])
            for batch in range(6):
                callbacks[0].on_train_batch_end(batch)

    clock = iter([0.0, 2.0, 4.0, 900.0, 902.0, 904.0])  # something else happened in the fourth step
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))

    assert time_to_perplexity.fit_epoch(Fitted(), np.array([[2, 3, 4]])) == 12.0


def test_a_quarter_of_the_reviews_is_each_fourth_and_measured_on_the_same(tmp_path: Path) -> None:
    data = save_reviews(tmp_path / "data")

    point = perplexity_scaling.StudyPoint(
        str(data), str(tmp_path / "project"), str(tmp_path / "point.json"), None, 4, "test", TINY
    )

    read = point.catalog.load("train_token_ids")["review_id"].to_pylist()
    assert read == [f"train_{number}" for number in range(0, 40, 4)]
    assert len(point.catalog.load("validation_token_ids")) == 40


def test_the_reference_s_best_epoch_is_that_of_the_validation_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = save_reviews(tmp_path)
    worker = time_to_perplexity.ReferenceEpochs(str(data), num_reviews=8, max_epochs=25, device="cpu")
    perplexities = iter(
        [120.0, 130.0, 100.0, 111.0, 101.0, 90.0, 102.0, 80.0]
    )  # validation, test, validation ...
    monkeypatch.setattr(time_to_perplexity, "fit_epoch", lambda *_: 60.0)
    monkeypatch.setattr(time_to_perplexity, "measure_perplexity", lambda *_: next(perplexities))

    measured = worker.measure()

    best = {name: measured[name] for name in ("epochs", "seconds", "perplexity", "test_perplexity")}
    assert best == {"epochs": 2.0, "seconds": 120.0, "perplexity": 100.0, "test_perplexity": 111.0}
    assert measured["test_perplexity after 4"] == 80.0


def test_the_reference_s_perplexity_is_the_measure() -> None:
    class Even:
        def predict_on_batch(self, token_ids: np.ndarray) -> np.ndarray:
            return np.zeros((*token_ids.shape, 7), dtype="float32")

    sequences = np.array([[2, 3, 4, 5], [2, 3, 0, 0]])

    assert time_to_perplexity.measure_perplexity(Even(), sequences) == pytest.approx(7.0)


def test_nothing_but_a_worker_that_needs_it_loads_tensorflow() -> None:
    """PyTorch shall not share a process with it, and the process that measures shall stay small."""
    code = """
import importlib, sys
from benchmarks.__main__ import COMPARISONS
for name in COMPARISONS:
    importlib.import_module(f"benchmarks.comparisons.{name}")
print("tensorflow" in sys.modules or "keras" in sys.modules)
"""
    for program, loads in ((code, "False"), ("import keras" + code, "True")):
        printed = subprocess.run(
            [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
        )
        assert printed.stdout.strip() == loads


def test_without_real_reviews_words_are_drawn(
    make_options: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINIGPT_IMDB_ARCHIVE", raising=False)
    options = make_options()

    assert find_data(options) is None
    assert training.plan(options).settings["corpus"] == "synthetic words"


@pytest.mark.parametrize("module", [training, generation, startup, scaling])
def test_every_variant_names_a_worker_that_takes_its_settings(
    module: object, make_options: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib
    import inspect

    monkeypatch.delenv("MINIGPT_IMDB_ARCHIVE", raising=False)

    plan = module.plan(make_options())  # type: ignore[attr-defined]

    assert plan.baseline in [variant.name for variant in plan.variants]
    for variant in plan.variants:
        file, name = variant.worker.split(":")
        worker = getattr(importlib.import_module(file), name)
        inspect.signature(worker).bind(**variant.settings, **variant.paths)
