"""`kedro run` as a user starts it, on the embedded corpus: the files it leaves, and what MLflow knows afterwards."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from benchmarks.choose_sampling import CONFIGURED, measure
from benchmarks.project import open_catalog
from benchmarks.write_results import BEGIN, END
from benchmarks.write_results import main as write_results
from benchmarks.write_samples import find_origin, write_page
from minigpt_pipeline.comparison.selection import RunSelectionError
from minigpt_pipeline.search.study_store import StudyError
from minigpt_pipeline.tracking.store import TrackingStoreError

pytestmark = pytest.mark.slow

STAGES = ("ingestion", "validation", "vectorization", "training", "evaluation", "generation")
MakeProject = Callable[[str], Path]


def kedro_run(project: Path, pipelines: Iterable[str] = (), parameters: dict[str, Any] | None = None) -> None:
    bootstrap_project(project)
    with KedroSession.create(project, env="test", runtime_params=parameters) as session:
        session.run(pipeline_names=list(pipelines) or None)


@pytest.fixture(scope="module")
def whole(make_project: MakeProject) -> Path:
    """A project in which everything ran at once."""
    project = make_project("whole")
    kedro_run(project)
    return project


@pytest.fixture(scope="module")
def staged(make_project: MakeProject) -> Path:
    """A project in which each pipeline ran alone."""
    project = make_project("staged")
    for stage in STAGES:
        kedro_run(project, [stage])
    return project


def list_runs(project: Path) -> list[mlflow.entities.Run]:
    """Return the runs of a project's store, and make it the one that MLflow's functions read."""
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    # MLflow sets the variable too; here it must not look like a user's wish.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return list(
        mlflow.search_runs(experiment_names=["minigpt"], output_format="list", order_by=["start_time"])
    )


def find_model_runs(project: Path) -> list[mlflow.entities.Run]:
    return [run for run in list_runs(project) if run.outputs and run.outputs.model_outputs]


def list_artifacts(run_id: str, folder: str | None = None) -> set[str]:
    paths: set[str] = set()
    for file in mlflow.MlflowClient().list_artifacts(run_id, folder):
        paths |= list_artifacts(run_id, file.path) if file.is_dir else {file.path}
    return paths


def test_a_run_leaves_every_dataset_with_its_lineage(whole: Path) -> None:
    files = {path.relative_to(whole / "data/test").as_posix() for path in (whole / "data/test").rglob("*")}

    assert {
        "02_intermediate/raw_reviews.parquet",
        "03_primary/reviews.parquet",
        "04_feature/tokenizer.json",
        "05_model_input/train_token_ids.parquet",
        "06_models/trained_model.keras",
        "06_models/trained_model.keras.lineage.json",
        "07_model_output/generated_samples.parquet",
        "08_reporting/evaluation_metrics.json",
        "08_reporting/loss.png",
    } <= files
    assert not [name for name in files if ".partial" in name or ".old" in name]


def test_a_run_is_one_mlflow_run_with_all_that_people_compare(whole: Path) -> None:
    (run,) = list_runs(whole)

    assert (run.info.run_name, run.info.status) == ("default test", "FINISHED")
    assert run.data.params["model.embed_dim"] == "16"
    assert run.data.params["vectorization.split.train"] == "0.9"
    assert run.data.params["compute.device"] == "auto"
    assert {"cycle", "environment", "git_commit", "data_digest", "device"} <= run.data.tags.keys()
    assert {
        "train/loss", "train/tokens_per_second", "train/learning_rate", "val/loss", "val/perplexity", "val/unk_rate",
        "test/loss", "test/perplexity", "test/unk_rate", "test/source_loss", "test/bits_per_character",
    } <= run.data.metrics.keys()  # fmt: skip
    assert {
        "samples/generated.json",
        "plots/loss.png",
        "plots/samples.png",
        "validation/validation_report.json",
    } <= (list_artifacts(run.info.run_id))
    inputs = {entry.dataset.name: entry.tags[0].value for entry in run.inputs.dataset_inputs}
    assert inputs == {
        "train_token_ids": "training", "validation_token_ids": "validation", "test_token_ids": "test"
    }  # fmt: skip


def test_the_model_card_is_the_note_of_the_run_and_of_its_model(whole: Path) -> None:
    (run,) = list_runs(whole)
    (output,) = run.outputs.model_outputs
    card = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/model_card.md")

    assert card.startswith("# Model card: default test\n")
    assert run.data.tags["mlflow.note.content"] == card
    assert mlflow.get_logged_model(output.model_id).tags["mlflow.note.content"] == card


def test_the_loss_falls(whole: Path) -> None:
    (run,) = list_runs(whole)
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/loss")

    assert history[-1].value < history[0].value - 0.5
    assert run.data.metrics["test/loss"] > run.data.metrics["test/source_loss"]


def test_texts_are_written_for_the_same_prompts_in_training_and_after_it(whole: Path) -> None:
    (run,) = list_runs(whole)
    table = mlflow.load_table("samples/generated.json", run_ids=[run.info.run_id], extra_columns=["run_id"])

    assert set(table.columns) >= {
        "epoch", "prompt", "sample", "text", "readable_text", "temperature", "top_k", "top_p", "seed"
    }  # fmt: skip
    assert table.columns[:2].tolist() == ["prompt", "readable_text"]  # by which MLflow's page compares runs
    assert table.duplicated(["epoch", "prompt", "seed"]).sum() == 0
    assert len(set(table.groupby("epoch").size())) == 1


def test_pipelines_one_by_one_write_the_same_files(
    whole: Path, staged: Path, read_files: Callable[[Path], dict[str, bytes]]
) -> None:
    there, here = read_files(whole), read_files(staged)

    assert there.keys() == here.keys()
    assert [name for name in there if there[name] != here[name]] == []


def test_pipelines_one_by_one_fill_the_same_model_run(whole: Path, staged: Path) -> None:
    (there,) = find_model_runs(whole)
    artifacts = list_artifacts(there.info.run_id)
    (here,) = find_model_runs(staged)

    assert len(list_runs(staged)) == 4  # one a data pipeline, and the model's
    assert here.data.params == there.data.params
    assert list_artifacts(here.info.run_id) == artifacts
    same = {"train/loss", "val/loss", "test/loss", "test/perplexity", "test/source_loss"}
    assert {name: here.data.metrics[name] for name in same} == {
        name: there.data.metrics[name] for name in same
    }
    assert here.data.metrics.keys() >= {name for name in there.data.metrics if not name.startswith("system/")}
    assert len({run.data.tags["cycle"] for run in list_runs(staged)}) == 1


def test_a_second_training_is_a_second_run_of_the_same_cycle(staged: Path) -> None:
    kedro_run(staged, ["evaluation", "training"], {"training": {"optimizer": {"learning_rate": 0.01}}})

    first, second = find_model_runs(staged)
    assert second.info.run_name == "training+evaluation test"
    assert first.data.tags["cycle"] == second.data.tags["cycle"]
    assert first.data.tags["data_digest"] == second.data.tags["data_digest"]
    assert second.data.params["training.optimizer.learning_rate"] == "0.01"
    assert "test/loss" in second.data.metrics
    assert list_artifacts(first.info.run_id) - {"samples/generated.json"} >= {
        "validation/validation_report.json"
    }
    assert "validation/validation_report.json" in list_artifacts(second.info.run_id)


def test_comparison_shows_models_beside_each_other_and_has_a_run_of_its_own(staged: Path) -> None:
    models = find_model_runs(staged)
    kedro_run(staged, ["comparison"])
    run = list_runs(staged)[-1]

    page = (staged / "data/08_reporting/comparison.html").read_text()
    assert [page.count(model.info.run_id) for model in models] == [1] * len(models)
    assert "the best scene" in page
    assert list_artifacts(run.info.run_id) == {"comparison/comparison.html"}
    assert run.data.tags["pipeline"] == "comparison"
    assert run.data.params["comparison.runs"] == "last-2"
    assert [model.data.metrics for model in find_model_runs(staged)] == [
        model.data.metrics for model in models
    ]


def test_comparison_names_a_run_that_is_not_there_and_those_that_are(staged: Path) -> None:
    (model, *_) = find_model_runs(staged)
    with pytest.raises(RunSelectionError, match=rf"has 'nosuchrun'.*{model.info.run_id[:8]} \(training test"):
        kedro_run(staged, ["comparison"], {"comparison": {"runs": f"{model.info.run_id[:12]} nosuchrun"}})
    assert list_runs(staged)[-1].info.status == "FAILED"


def test_a_new_ingestion_starts_a_new_cycle(whole: Path, make_project: MakeProject) -> None:
    project = make_project("cycles")

    kedro_run(project, ["ingestion"])
    kedro_run(project, ["ingestion"])

    assert len({run.data.tags["cycle"] for run in list_runs(project)}) == 2


def test_generation_again_adds_no_row_twice_and_says_what_differs(whole: Path) -> None:
    (run,) = find_model_runs(whole)

    def count_rows() -> int:
        return len(mlflow.load_table("samples/generated.json", run_ids=[run.info.run_id]))

    before = count_rows()
    kedro_run(whole, ["generation"])
    assert count_rows() == before

    kedro_run(whole, ["generation"], {"generation": {"sampling": {"temperature": 0.5}}})
    assert count_rows() > before
    (run,) = find_model_runs(whole)
    assert run.data.params["generation.sampling.temperature"] == "1.0"
    assert run.data.tags["last.generation.sampling.temperature"] == "0.5"


def test_the_figures_of_texts_are_those_of_the_texts_in_the_run(whole: Path) -> None:
    (run,) = find_model_runs(whole)
    figures = {name: value for name, value in run.data.metrics.items() if name.startswith("gen/")}
    uri = f"{run.info.artifact_uri}/samples/quality.csv"
    texts = pd.read_csv(mlflow.artifacts.download_artifacts(uri))

    assert figures["gen/texts"] == len(texts) == 8
    lengths = texts["text"].str.split().str.len()
    assert figures["gen/mean_length"] == lengths.mean() == 41
    assert figures["gen/unk_rate"] == 0
    for name in ("seq_rep_4", "distinct_1", "zipf_exponent", "self_bleu_4", "longest_copy", "ended_share"):
        assert {f"gen/{name}", f"gen/human_{name}"} <= figures.keys()
    words = [word for text in texts["text"] for word in text.split()]
    assert figures["gen/distinct_1"] == pytest.approx(len(set(words)) / len(words))
    ratio = figures["gen/kneser_ney_perplexity"] / figures["gen/human_kneser_ney_perplexity"]
    assert figures["gen/kneser_ney_perplexity_ratio"] == pytest.approx(ratio)


def test_samples_name_the_run_and_hold_as_many_texts_as_asked(whole: Path) -> None:
    (run,) = find_model_runs(whole)

    page = write_page("test", 4, whole)

    assert f"run `{run.info.run_id}`" in page
    assert f"trained by | commit `{run.data.tags['git_commit']}`" in page
    assert "seed 42" in page
    sections = {part.split("\n")[0]: part for part in page.split("\n## ")[1:]}
    assert sections.keys() == {"default", "careful", "free"}
    for section in sections.values():
        texts = re.findall(r"^\d+\. .*$", section, re.MULTILINE)
        assert [text[:7] for text in texts] == ["0. The ", "1. This", "2. I wa", "3. The "]
    samples = mlflow.load_table("samples/generated.json", run_ids=[run.info.run_id])
    is_first = (
        (samples["prompt"] == "the best scene") & (samples["seed"] == 0) & (samples["temperature"] == 1)
    )
    assert f"0. {samples.loc[is_first, 'readable_text'].iloc[-1]}\n" in sections["default"]


@pytest.mark.full
def test_results_are_written_from_the_newest_run(whole: Path) -> None:
    readme = whole / "README.md"
    readme.write_text(f"{BEGIN}{END}")
    kedro_run(whole, ["generation"], {"generation": {"sampling": {"temperature": 0.5}}})
    assert write_results(["--env", "test", "--readme", str(readme)], project=whole) == 1
    kedro_run(whole, ["generation"])

    assert write_results(["--env", "test", "--readme", str(readme)], project=whole) == 0

    metrics = find_model_runs(whole)[-1].data.metrics
    written = readme.read_text()
    assert (
        f"| `test` | {metrics['test/perplexity']:.2f} | {metrics['test/perplexity_low']:.2f} to " in written
    )
    assert f"| the corpus's known entropy | {math.exp(metrics['test/source_loss']):.1f} |" in written


def test_results_of_an_environment_without_a_run_are_refused(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = whole / "README.md"
    readme.write_text(f"{BEGIN}{END}")

    assert write_results(["--env", "test", "gpu", "--readme", str(readme)], project=whole) == 1

    assert "`kedro run --env gpu`" in capsys.readouterr().err.replace("\n", "")
    assert readme.read_text() == f"{BEGIN}{END}"


def test_samples_of_a_model_without_a_run_are_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no lineage beside it that names its run: train it with"):
        find_origin(tmp_path / "trained_model.keras", {})


def test_sampling_is_chosen_by_figures_of_texts(whole: Path) -> None:
    catalog = open_catalog("test", project=whole)

    configured, same, greedy = measure(
        catalog, [{"temperature": 1.0, "top_p": 0.95}, {"temperature": 0.0}], "validation", 6
    )

    assert [figures["settings"] for figures in (configured, same, greedy)] == [
        CONFIGURED, "temperature 1, top-p 0.95", "temperature 0"
    ]  # fmt: skip
    assert configured | {"settings": ""} == same | {"settings": ""}
    assert configured["texts"] == 6
    assert greedy["distinct_2"] < configured["distinct_2"]


def test_a_decision_is_part_of_the_run_of_its_model(whole: Path) -> None:
    """The first model is in use; decided on again, it stays so, and the record stays as it was."""
    (run,) = find_model_runs(whole)
    file = whole / "data/test/08_reporting/promotion_decision.json"

    kedro_run(whole, ["promotion"])

    (decided,) = list_runs(whole)
    record = json.loads(file.read_text())
    del record["minigpt_format_version"]  # of the file
    client = mlflow.MlflowClient()
    version = client.get_model_version("minigpt", "1")
    assert (record["outcome"], record["champion"]) == ("promoted", "1")
    assert decided.info.run_id == run.info.run_id == version.run_id == record["run_id"]
    assert decided.info.status == "FINISHED"
    assert decided.data.tags["decision"] == version.tags["decision"] == "promoted"
    assert decided.data.tags["data"] == "data/test"
    assert decided.data.params["promotion.num_texts"] == "8"
    assert record["candidate"]["figures"].keys() == {
        "perplexity", "unk_rate", "seq_rep_4", "megabytes", "seconds_per_text"
    }  # fmt: skip
    (path,) = (path for path in list_artifacts(run.info.run_id) if path.startswith("promotion/"))
    assert mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/{path}") == record
    assert version.aliases == ["champion"]

    kedro_run(whole, ["promotion"])

    assert len(list_runs(whole)) == 1
    again = json.loads(file.read_text())
    assert (again["outcome"], again["champion"]) == ("kept", "1")
    assert "not decided on again" in again["reasons"][0]
    assert client.get_model_version("minigpt", "1").tags == version.tags


def test_a_failing_node_marks_the_run_and_keeps_what_it_logged(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project("failing")

    def fail(*_: object) -> None:
        raise ValueError("no words today")

    monkeypatch.setattr("minigpt_pipeline.model.generation.write_samples", fail)
    with pytest.raises(ValueError, match="no words today"):
        kedro_run(project)

    (run,) = list_runs(project)
    assert run.info.status == "FAILED"
    assert "train/loss" in run.data.metrics


def test_a_refused_batch_stops_the_run_before_anything_learns_from_it(make_project: MakeProject) -> None:
    project = make_project("refused")

    with pytest.raises(ValueError, match="at least 100,000 reviews"):
        kedro_run(project, parameters={"validation": {"min_reviews": 100_000}})

    (run,) = list_runs(project)
    assert run.info.status == "FAILED"
    assert "validation/validation_report.json" in list_artifacts(run.info.run_id)
    assert not (project / "data/test/03_primary/reviews.parquet").exists()


def test_a_wrong_parameter_is_refused_before_any_node_runs(make_project: MakeProject) -> None:
    project = make_project("wrong")

    with pytest.raises(Exception, match="embed_dim=16 is not divisible by num_heads=3"):
        kedro_run(project, parameters={"model": {"num_heads": 3}})

    assert not (project / "data/test").exists()


def test_a_store_that_does_not_answer_is_told_before_anything_is_computed(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    project = make_project("unreachable")

    with pytest.raises(TrackingStoreError, match=r"http://127.0.0.1:9 can't be used"):
        kedro_run(project)

    assert not (project / "data/test").exists()


def test_evaluation_says_when_the_store_does_not_know_the_model(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")

    with pytest.raises(TrackingStoreError, match="set MLFLOW_TRACKING_URI to the store it was made with"):
        kedro_run(whole, ["evaluation"])


@pytest.mark.full
def test_a_run_with_subwords_trains_measures_writes_and_logs(whole: Path, make_project: MakeProject) -> None:
    """With the output layer that expects frequent tokens first; the word model beside it has read the same reviews."""
    project = make_project("subwords")
    shutil.copytree(whole / "data/test/03_primary", project / "data/test/03_primary")
    parameters = {
        "vectorization": {"tokenizer": "subword", "vocabulary_size": 400},
        "model": {"output_layer": "adaptive", "num_frequent_words": 100, "rare_word_dim": 8},
    }

    kedro_run(project, ["generation", "training", "vectorization", "evaluation"], parameters)

    (run,) = find_model_runs(project)
    assert run.info.run_name == "vectorization+training+evaluation+generation test"
    metrics = run.data.metrics
    (word_run,) = find_model_runs(whole)
    same = {"test/words", "test/characters", "test/source_loss", "test/unk_rate"}
    assert {name: metrics[name] for name in same} == {name: word_run.data.metrics[name] for name in same}
    assert metrics["test/tokens_per_word"] > 2
    low, high = (metrics[f"test/bits_per_character_{name}"] for name in ("low", "high"))
    assert low < metrics["test/bits_per_character"] < high
    assert metrics["test/perplexity"] > metrics["test/kneser_ney_perplexity"]
    samples = pd.read_parquet(project / "data/test/07_model_output/generated_samples.parquet")
    assert not samples["text"].str.contains("[UNK]", regex=False).any()
    texts = pd.read_csv(f"{run.info.artifact_uri.removeprefix('file://')}/samples/quality.csv")
    first_words = texts["prompt"].tolist()
    assert first_words == [
        text.split()[0][: len(word)] for text, word in zip(texts["text"], first_words, strict=True)
    ]
    assert (metrics["gen/texts"], metrics["gen/unk_rate"], metrics["gen/human_unk_rate"]) == (8, 0, 0)
    assert metrics["gen/kneser_ney_perplexity"] > metrics["gen/human_kneser_ney_perplexity"]

    find_model_runs(project)  # its store is the one that MLflow reads
    model = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    answer = model.predict(
        pd.DataFrame({"prompt": ["The best scene"] * 3}), params={"max_new_tokens": 9, "seed": 1}
    )
    assert answer["text"].str.startswith("The best scene").all()
    assert (answer["text"].str.len() > len("The best scene")).all()


def test_no_film_is_in_two_parts(whole: Path) -> None:
    data = whole / "data/test"
    films = pd.read_parquet(data / "03_primary/reviews.parquet").set_index("review_id")["movie_id"]
    parts = {
        part: set(films[pd.read_parquet(data / f"05_model_input/{part}_token_ids.parquet")["review_id"]])
        for part in ("train", "validation", "test")
    }

    assert all(parts.values())
    assert not parts["train"] & parts["validation"]
    assert not parts["train"] & parts["test"]
    assert not parts["validation"] & parts["test"]


@pytest.mark.parametrize(
    "command", [["registry", "list"], ["run", "--pipeline", "ingestion", "--env", "test"]], ids=" ".join
)
def test_a_command_that_computes_nothing_loads_nothing_slow_that_it_does_not_need(
    make_project: MakeProject, command: list[str]
) -> None:
    code = """
import atexit, gc, sys
slow = {"tensorflow", "keras", "jax", "torch", "great_expectations", "matplotlib", "IPython"}
atexit.register(lambda: print("loaded:", sorted(slow & set(sys.modules))))
is_left_alone = lambda: gc.get_freeze_count() > 100_000
atexit.register(lambda: print("garbage sought:", gc.isenabled(), "beside what is left alone:", is_left_alone()))
from kedro.framework.cli.cli import main
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=make_project("commands"),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "loaded: []" in result.stdout
    # What MLflow has loaded, where it was, is never searched for garbage: that took a third of a short run's time.
    runs = command[0] == "run"
    assert f"garbage sought: True beside what is left alone: {runs}" in result.stdout


def test_an_interrupted_run_is_marked_and_leaves_nothing_half_written(make_project: MakeProject) -> None:
    project = make_project("interrupted")
    # Where a shell starts tests in the background, children ignore Ctrl-C.
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from kedro.framework.cli.cli import main
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", "--env", "test"],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "of 16: read_reviews" in line:
            process.send_signal(signal.SIGINT)
            break
    said = process.stderr.read()

    assert process.wait(timeout=60) == 130
    assert said.splitlines()[-1].startswith("Interrupted: all files are whole")
    (run,) = list_runs(project)
    assert run.info.status == "KILLED"
    assert not [path for path in (project / "data/test").rglob("*") if ".partial" in path.name]


@pytest.mark.full
def test_a_search_is_one_run_with_its_trials_below_it_also_when_it_goes_on(staged: Path) -> None:
    known = {run.info.run_id for run in list_runs(staged)}
    kedro_run(staged, ["sweep"], {"sweep": {"max_trials": 1}})
    kedro_run(staged, ["sweep"])

    data = staged / "data/test"
    trials = pd.read_parquet(data / "07_model_output/sweep_trials.parquet")
    runs = [run for run in list_runs(staged) if run.info.run_id not in known]
    (search,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = {run.data.tags["trial"]: run for run in runs if run is not search}
    assert search.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {search.info.run_id}
    assert sorted(children) == sorted(map(str, trials["trial"]))
    assert trials["state"].isin(["complete", "pruned"]).sum() == 3
    for trial in trials.itertuples():
        child = children[str(trial.trial)]
        assert child.data.tags["trial_state"] == trial.state
        assert child.data.params["training.max_steps"] == "8"
        history = mlflow.MlflowClient().get_metric_history(child.info.run_id, "val/loss")
        assert (
            ([trial.loss] == [min(look.value for look in history)]) if history else trial.state == "refused"
        )
    assert search.data.metrics["sweep/best_loss"] == pytest.approx(
        trials.query("state == 'complete'")["loss"].min()
    )
    assert {
        "sweep/trials.csv",
        "sweep/looks.csv",
        "sweep/best_parameters.yml",
        "sweep/search.png",
    } <= list_artifacts(search.info.run_id)
    best = (data / "08_reporting/best_parameters.yml").read_text()
    command = "# kedro run --env test --params training.optimizer.learning_rate="
    assert best.splitlines()[1].startswith(command)
    assert not search.inputs.dataset_inputs


@pytest.mark.full
def test_a_search_that_refuses_other_parameters_leaves_its_run_as_it_was(staged: Path) -> None:
    kedro_run(staged, ["sweep"])
    searches = {"pipeline": "sweep", "environment": "test"}.items()

    def read_search() -> list[Any]:
        (run,) = (
            run
            for run in list_runs(staged)
            if searches <= run.data.tags.items() and "trial" not in run.data.tags
        )
        return [run.info.status, run.info.end_time, run.data.tags, run.data.params]

    before = read_search()

    with pytest.raises(StudyError, match="made with other sweep, and can't be compared"):
        kedro_run(staged, ["sweep"], {"sweep": {"seed": 8}})

    assert before[0] == "FINISHED"
    assert read_search() == before
