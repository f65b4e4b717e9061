import dataclasses
import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.__main__ import COMPARISONS
from benchmarks.harness import PROJECT
from benchmarks.project import copy_project
from benchmarks.write_results import (
    BEGIN,
    BENCHMARK_TABLES,
    END,
    PICTURES,
    SHOWN,
    ResultsError,
    Shown,
    describe_seconds,
    find_runs,
    make_benchmark_table,
    make_results,
    parse,
    read_benchmarks,
    read_parameters,
    replace_results,
)
from minigpt_pipeline.comparison.model_run import ModelRun, RunSummary

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
WORD = {
    "vectorization.tokenizer": "word", "training.batch_size": "32", "ingestion.include_unlabelled": "false",
    "compute.precision": "mixed_bfloat16", "generation.sampling.top_k": "null", "generation.quality_texts": "1000",
}  # fmt: skip
SUBWORD = WORD | {"vectorization.tokenizer": "subword"}
HASH = "0123456789" * 4
CONFIGURED = {Shown("base"): WORD, Shown("base", "subword"): SUBWORD}
METRICS = {
    "test/loss": 2.0, "test/perplexity": 60.0, "test/perplexity_low": 58.0, "test/perplexity_high": 62.5,
    "test/bits_per_character": 1.25, "test/bits_per_character_low": 1.2, "test/bits_per_character_high": 1.3,
    "test/characters": 999.0, "test/unk_rate": 0.0215, "test/uniform_perplexity": 20_000.0,
    "test/unigram_perplexity": 600.0, "test/kneser_ney_perplexity": 100.0, "train/seconds": 3300.0,
    "test/kneser_ney_perplexity_low": 98.0, "test/kneser_ney_perplexity_high": 102.0,
    "test/kneser_ney_ratio": 0.6, "test/kneser_ney_ratio_low": 0.59, "test/kneser_ney_ratio_high": 0.61,
    "gen/texts": 1000.0, "gen/mean_length": 41.0,
    "gen/seq_rep_4": 0.002, "gen/human_seq_rep_4": 0.004, "gen/seq_rep_4_ratio": 0.5,
    "gen/seq_rep_4_ratio_low": 0.2, "gen/seq_rep_4_ratio_high": 1.4,
    "gen/distinct_2": 0.5, "gen/human_distinct_2": 0.5, "gen/distinct_2_ratio": 1.0,
    "gen/self_bleu_4": 0.3, "gen/human_self_bleu_4": 0.25, "gen/unk_rate": 0.0, "gen/human_unk_rate": 0.02,
}  # fmt: skip


def make_text(epoch: int, prompt: str, seed: int, text: str) -> dict[str, object]:
    return {"epoch": epoch, "prompt": prompt, "seed": seed, "readable_text": text}


def make_run(run_id: str, minutes: int = 0, status: str = "FINISHED", **changed: object) -> ModelRun:
    run = ModelRun(
        RunSummary(run_id, "a run", status, NOON + timedelta(minutes=minutes)),
        parameters=WORD | {"generation.seeds": "[0, 1]", "compute.device": "cpu"},
        metrics=METRICS,
        curves={"train/tokens_per_second": [(20, 9000.0), (40, 12_000.0), (60, 12_500.0)]},
        tags={
            "environment": "base", "best_step": "9000", "steps": "9018", "precision": "mixed_bfloat16",
            "seed": "42", "git_commit": f"{HASH}-dirty",
        },
        samples=[
            make_text(1, "the best", 0, "An early text"),
            make_text(3, "the best", 0, "The best *text*\nof all"),
            make_text(3, "the best", 1, "Another"),
        ],
    )  # fmt: skip
    return dataclasses.replace(run, **changed)  # type: ignore[arg-type] -- whatever a test changes


class ListStore:
    """A `ModelRunStore` of runs, the newest first."""

    address = "a list"
    read_at = NOON

    def __init__(self, runs: Sequence[ModelRun]) -> None:
        self.runs = {run.summary.run_id: run for run in runs}

    def list_runs(self) -> list[RunSummary]:
        return [run.summary for run in self.runs.values()]

    def read_run(self, run_id: str) -> ModelRun:
        return self.runs[run_id]


def test_the_newest_run_with_all_figures_is_shown() -> None:
    store = ListStore(
        [
            make_run("failed", 9, "FAILED"),
            make_run("without texts", 8, metrics={"test/loss": 1.0}),
            make_run("subword", 7, parameters=SUBWORD),
            make_run("newest", 6),
            make_run("older", 5),
        ]
    )

    found = find_runs(store, CONFIGURED)

    assert [run.summary.run_id for run in found.values()] == ["newest", "subword"]


@pytest.mark.parametrize(
    "other",
    [
        WORD | {"training.batch_size": "64"},
        WORD | {"model.tied_embeddings": "true"},
        {"vectorization.tokenizer": "word"},
        WORD | {"ingestion.include_unlabelled": "true"},
        WORD | {"compute.precision": "float32"},
        WORD | {"generation.sampling.top_k": "10"},
        WORD | {"generation.quality_texts": "9"},
    ],
)
def test_a_run_with_other_parameters_than_configured_is_not_shown(other: dict[str, str]) -> None:
    store = ListStore([make_run("other", 9, parameters=other), make_run("configured", 6)])

    found = find_runs(store, {Shown("base"): WORD})

    assert [run.summary.run_id for run in found.values()] == ["configured"]


def test_a_run_of_an_earlier_version_is_shown_where_what_it_did_not_know_is_off() -> None:
    store = ListStore([make_run("earlier")])

    for text in ("null", "false"):
        assert find_runs(store, {Shown("base"): WORD | {"ingestion.documents": text}})
    with pytest.raises(ResultsError):
        find_runs(store, {Shown("base"): WORD | {"ingestion.documents.text_column": "text"}})


def test_a_model_that_was_never_trained_is_named_with_its_command() -> None:
    with pytest.raises(ResultsError, match=r"a list has no .*`kedro run --env base --params vectorization\."):
        find_runs(ListStore([make_run("word")]), CONFIGURED)


def test_models_baselines_and_texts_stand_in_tables() -> None:
    run = make_run("run")
    reference = {"seconds": 3360.0, "test_perplexity": 99.94}
    benchmarks = read_benchmarks(PROJECT / "benchmarks/results")
    benchmarks["time_to_perplexity"]["settings"]["reference"] |= reference

    page = make_results({Shown("base"): run}, run, benchmarks)

    for line in (
        "| `base` | 60.00 | 58.00 to 62.50 | 1.250 | 2.15% "
        "| 9,000 of 9,018 | 55 min | 12,000 | mixed_bfloat16 | 42 | 0123456-dirty |",
        "| all words alike | 20,000.0 | – | 200.00 × |",
        "| interpolated modified Kneser-Ney, 5-gram | 100.0 | 98.00 to 102.00 | 1.00 × |",
        "| plain Keras, the published example, 56 min | 99.9 | – | 1.00 × |",
        "| `base` | 60.0 | 58.00 to 62.50 | 0.600 × (0.59 to 0.61) |",
        "| 1,000 texts of `base`, 41 words each | model | people | ratio |",
        "| 4-grams that a text repeats (seq-rep-4) | 0.20% | 0.40% | 0.50 (0.20 to 1.40) |",
        "| perplexity of a Kneser-Ney 5-gram model | – | – | – |",
        "| self-BLEU | 0.30 | 0.25 | – |",
        "`base`, `the best`, seed 0:",
        r"> The best \*text\* of all",
    ):
        assert line in page.splitlines()


def test_lengths_stand_with_the_texts_of_a_model_that_ends_them() -> None:
    ends = {
        "gen/whole_mean_length": 250.4, "gen/human_whole_mean_length": 260.0, "gen/whole_mean_length_ratio": 0.963,
        "gen/whole_ended_share": 0.9, "gen/human_whole_ended_share": 0.93,
    }  # fmt: skip
    run = make_run("run", parameters=WORD | {"generation.max_whole_tokens": "600"}, metrics=METRICS | ends)

    lines = make_results({Shown("base"): run}, run, {}).splitlines()

    assert "| words of a text that goes on to its end, 600 at most | 250 | 260 | 0.96 |" in lines
    assert "| share of these that end before | 90% | 93% | – |" in lines


def test_the_entropy_stands_with_the_baselines_where_it_is_known() -> None:
    run = make_run("run", metrics=METRICS | {"test/source_loss": 2.0})

    assert "| the corpus's known entropy | 7.4 | – | 0.07 × |" in make_results(
        {Shown("sample"): run}, run, {}
    )


def test_parameters_that_are_configured_are_read(tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "project")

    words, parts = (read_parameters(copy, Shown("sample", tokenizer)) for tokenizer in ("word", "subword"))

    assert words.keys() >= WORD.keys()
    assert words["compute.precision"] == "float32"
    assert not [name for name in words if name.startswith(("generation.prompts", "compute.device"))]
    assert parts == words | {"vectorization.tokenizer": "subword"}


def test_bits_per_character_compare_words_with_parts_of_words_on_the_same_text() -> None:
    word = make_run("word")
    parts, elsewhere = (
        make_run("parts", metrics=METRICS | {"test/bits_per_character": 1.3, "test/characters": characters})
        for characters in (999.0, 998.0)
    )

    page = make_results({Shown("base"): word, Shown("base", "subword"): parts}, word, {})

    assert (
        "`base` have 1.250 (95 % interval 1.200 to 1.300) with words and "
        "1.300 (95 % interval 1.200 to 1.300) with parts of words, 1.040 times as many."
    ) in page
    for others in (
        {Shown("base"): word, Shown("base", "subword"): elsewhere},
        {Shown("sample"): word, Shown("base", "subword"): parts},
        {Shown("base"): word},
    ):
        assert "times as many" not in make_results(others, word, {})


def test_the_text_is_drawn_as_the_figures_were_measured() -> None:
    texts = [
        make_text(3, "the best", 0, "Of another run") | {"top_k": 10, "temperature": 1.0},
        make_text(1, "the best", 0, "An early text") | {"top_k": None, "temperature": 0.5},
        make_text(3, "the best", 0, "The last") | {"top_k": None, "temperature": 0.5},
    ]
    drawn = WORD | {"generation.sampling.temperature": "0.5"}

    run = make_run("run", parameters=drawn, samples=texts)
    assert "> The last" in make_results({Shown("base"): run}, run, {}).splitlines()
    other = make_run("other", parameters=drawn, samples=texts[:1])
    with pytest.raises(ResultsError, match="run other has no text with the sampling"):
        make_results({Shown("base"): other}, other, {})


def test_every_comparison_has_a_table_or_a_picture() -> None:
    assert BENCHMARK_TABLES.keys() | PICTURES.keys() == COMPARISONS.keys()


def test_every_stored_comparison_is_on_the_page_with_its_commit() -> None:
    benchmarks = read_benchmarks(PROJECT / "benchmarks/results")
    run = make_run("run")

    page = make_results({Shown("base"): run}, run, benchmarks)

    points = {"perplexity_scaling"}  # each has a commit of its own; all take hours, and may not be there
    assert benchmarks.keys() | points == COMPARISONS.keys()
    for name in benchmarks.keys() - points:
        commit = benchmarks[name]["commit"]["hash"][:7]
        assert f"(benchmarks/results/{name}.md), commit {commit}" in page
    assert (
        "![Words a second and peak memory by vocabulary, width, context and batch](docs/images/scaling.png)"
        in page
    )
    keras = json.loads((PROJECT / "benchmarks/results/training.json").read_text())["variants"][1]
    assert (
        f"| plain Keras, float32 | {keras['medians']['tokens_per_second']:,.0f} | 1.00 × | 1.00 × |" in page
    )
    assert "not installed" not in page


def test_a_commit_that_files_differed_from_is_dirty_on_the_page() -> None:
    result = {"name": "data", "commit": {"hash": HASH, "dirty": True}, "variants": []}

    assert "(benchmarks/results/data.md), commit 0123456-dirty |" in make_benchmark_table(result)


def test_points_of_the_study_have_each_its_commit_and_the_picture_below() -> None:
    points = [
        {
            "name": f"base, {minutes} minutes", "is_listed": True, "missing": None, "info": {"commit": commit},
            "medians": {"parameters": 9_870_000.0, "words": 1_250_000.0, "perplexity": 150.04},
        }
        for minutes, commit in ((3, None), (10, "7654321-dirty"))
    ]  # fmt: skip
    study = {"name": "perplexity_scaling", "commit": {"hash": HASH, "dirty": False}, "variants": points}
    run = make_run("run")

    lines = make_results({Shown("base"): run}, run, {"perplexity_scaling": study}).splitlines()

    first = lines.index("| base, 3 minutes | 9.9 | 1.2 | 150.0 | – |")
    assert lines[first + 1] == "| base, 10 minutes | 9.9 | 1.2 | 150.0 | 7654321-dirty |"
    assert "(benchmarks/results/perplexity_scaling.md) | parameters" in lines[first - 2]
    assert lines[first + 5].endswith("](docs/images/perplexity_scaling.png)")
    assert not [line for line in lines[first - 2 :] if HASH[:7] in line]


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    replaced = replace_results(page, "new")

    assert replaced == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replace_results(replaced, "new") == replaced


@pytest.mark.parametrize(
    "page", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"]
)
def test_a_page_without_the_marks_is_refused(page: str) -> None:
    with pytest.raises(ResultsError, match="no place for results"):
        replace_results(page, "new")


def test_the_readme_has_a_place_for_results() -> None:
    page = (PROJECT / "README.md").read_text()

    assert replace_results(page, "new") != page


def test_short_trainings_are_shown_in_seconds() -> None:
    assert [describe_seconds(seconds) for seconds in (47.4, 119.0, 120.0, 3300.0)] == [
        "47 s", "119 s", "2 min", "55 min"
    ]  # fmt: skip


def test_environments_are_named() -> None:
    assert parse(["--env", "test", "sample"]).env == ["test", "sample"]


@pytest.fixture(scope="module")
def recipe() -> list[str]:
    """What `make results` does, in its order."""
    shown = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "results"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.strip() for line in shown.stdout.splitlines()]


def test_make_results_makes_every_figure_and_writes_them_last(recipe: Sequence[str]) -> None:
    words = {word for line in recipe for word in line.split()}

    assert words >= COMPARISONS.keys()
    runs = [line.removeprefix(".venv/bin/") for line in recipe if "kedro run" in line]
    assert runs[0] == "kedro run --pipelines data --env base"  # what is benchmarked reads them
    promoted = "kedro run --env base --pipelines promotion"
    trained = [run for run in runs[1:] if run != promoted]
    assert sorted(trained) == sorted(model.command for model in SHOWN)
    assert trained[-1] == "kedro run --env base"  # of what is on disk, samples are written
    promotion = next(place for place, line in enumerate(recipe) if line.endswith(promoted))
    assert recipe[promotion - 1].endswith(trained[-1])
    assert recipe[promotion + 1].endswith("benchmarks load --project .")  # serves its champion
    assert recipe[-2].endswith("benchmarks.write_samples --env base")
    assert recipe[-1].endswith("benchmarks.write_results")
