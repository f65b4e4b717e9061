"""`python -m benchmarks.write_results`: the figures of README, from MLflow's runs and the benchmarks' files."""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks.harness import PROJECT
from benchmarks.results import NOTHING, PEAK_MEMORY, Column, show_commit
from benchmarks.write_samples import MARKUP
from minigpt_pipeline.commit import shorten_commit
from minigpt_pipeline.comparison.model_run import ModelRun, ModelRunStore
from minigpt_pipeline.comparison.tables import BITS_PER_CHARACTER, compares_characters
from minigpt_pipeline.parameters import SHOWN_SETTINGS

BEGIN = "<!-- Written by `make results`; what is changed by hand up to the end mark is lost. -->"
END = "<!-- End of what `make results` writes. -->"


class ResultsError(RuntimeError):
    """There is nothing to write, or nowhere to write it."""


@dataclass(frozen=True)
class Shown:
    """A model of the table.

    Args:
        environment: That it was trained in.
        tokenizer: `word` or `subword`.
    """

    environment: str
    tokenizer: str = "word"

    @property
    def command(self) -> str:
        """What trains it."""
        option = "" if self.tokenizer == "word" else f" --params vectorization.tokenizer={self.tokenizer}"
        return f"kedro run --env {self.environment}{option}"

    @property
    def label(self) -> str:
        """How the table names it."""
        return f"`{self.environment}`" + ("" if self.tokenizer == "word" else f", {self.tokenizer}")


SHOWN = (Shown("sample"), Shown("base"), Shown("base", "subword"))
MAIN = Shown("base")
"""The model whose texts and baselines are shown."""

MADE_WITH = (
    "ingestion.",
    "vectorization.",
    "model.",
    "training.",
    "compute.precision",
    "generation.sampling.",
    "generation.quality_texts",
)
"""Parameters, or their groups, that a run of a model must share with the configuration."""

OFF = {"null", "false"}
"""Values of parameters that change nothing: a run of a version that did not know them was made so."""

QUALITY_ROWS = (
    ("4-grams that a text repeats (seq-rep-4)", "seq_rep_4", ".2%"),
    ("distinct among all 2-grams", "distinct_2", ".1%"),
    ("perplexity of a Kneser-Ney 5-gram model", "kneser_ney_perplexity", ".1f"),
    ("8-grams that stand in training reviews", "copied_8gram_share", ".2%"),
    ("self-BLEU", "self_bleu_4", ".2f"),
    ("`[UNK]`", "unk_rate", ".2%"),
)
BASELINE_ROWS = (
    ("all words alike", "uniform_perplexity"),
    ("their frequencies", "unigram_perplexity"),
    ("interpolated modified Kneser-Ney, 5-gram", "kneser_ney_perplexity"),
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.write_results",
        description="Write the results of README.md anew: of each environment's newest run in MLflow that was "
        "measured on the test films, and of the files in benchmarks/results.",
    )
    parser.add_argument(
        "--env",
        nargs="+",
        metavar="NAME",
        help="environments to show; the last one's texts and baselines are shown too "
        "(default: sample, base, and base with subword)",
    )
    parser.add_argument("--readme", type=Path, default=PROJECT / "README.md", help="default: README.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, project: Path = PROJECT) -> int:
    """Write the results; return the exit status."""
    from minigpt_pipeline.files import replacing
    from minigpt_pipeline.tracking.store import TrackingStoreError

    options = parse(arguments)
    console = Console(stderr=True)
    shown = tuple(map(Shown, options.env)) if options.env else SHOWN
    try:
        page = options.readme.read_text(encoding="utf-8")
        configured = {model: read_parameters(project, model) for model in shown}
        runs = find_runs(open_store(project, shown[0].environment), configured)
        main_run = runs[MAIN if MAIN in runs else shown[-1]]
        page = replace_results(
            page, make_results(runs, main_run, read_benchmarks(PROJECT / "benchmarks/results"))
        )
    except (OSError, ResultsError, TrackingStoreError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    with replacing(options.readme) as partial:
        partial.write_text(page, encoding="utf-8")
    console.print(f"{options.readme} is written", markup=False, highlight=False)
    return 0


def open_store(project: Path, environment: str) -> ModelRunStore:
    """Return the runs of a project's MLflow experiment."""
    import mlflow
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from minigpt_pipeline.tracking.model_runs import MlflowModelRuns
    from minigpt_pipeline.tracking.store import TrackingSettings, connect

    bootstrap_project(project)
    with KedroSession.create(project, env=environment) as session:
        settings = TrackingSettings(**session.load_context().config_loader["mlflow"])
    connect(settings, project)
    experiment = mlflow.get_experiment_by_name(settings.experiment)
    return MlflowModelRuns(experiment.experiment_id)


def read_parameters(project: Path, model: Shown) -> dict[str, str]:
    """Return what a model and its texts are made with as the configuration has it now, flattened as MLflow has it."""
    from benchmarks.project import open_catalog
    from minigpt_pipeline.tracking.flat_parameters import flatten_parameters

    catalog = open_catalog(model.environment, {"vectorization": {"tokenizer": model.tokenizer}}, project)
    parameters = flatten_parameters("compute", catalog.load("compute"))
    for name in ("ingestion", "vectorization", "model", "training", "generation"):
        parameters |= flatten_parameters(name, catalog.load(f"params:{name}"))
    return {name: text for name, text in parameters.items() if name.startswith(MADE_WITH)}


def find_runs(store: ModelRunStore, configured: Mapping[Shown, Mapping[str, str]]) -> dict[Shown, ModelRun]:
    """Return the newest finished run of each model that was measured on the test films and wrote texts.

    Args:
        store: Of the runs.
        configured: The parameters of each model; a run with others is none of it.

    Raises:
        ResultsError: If one has none.
    """
    found: dict[Shown, ModelRun] = {}
    for summary in store.list_runs():
        if len(found) == len(configured):
            break
        if summary.status != "FINISHED":
            continue
        run = store.read_run(summary.run_id)
        model = Shown(run.tags.get("environment", ""), run.parameters.get("vectorization.tokenizer", "word"))
        if model not in configured or model in found or not has_parameters(run, configured[model]):
            continue
        if {"test/loss", "gen/texts"} <= run.metrics.keys():
            found[model] = run
    if missing := [model.command for model in configured if model not in found]:
        raise ResultsError(
            f"The MLflow store {store.address} has no finished run of "
            f"{', '.join(f'`{command}`' for command in missing)} that has the parameters configured now and figures "
            "of test films and texts: run it, or name what is there with --env"
        )
    return {model: found[model] for model in configured}


def has_parameters(run: ModelRun, parameters: Mapping[str, str]) -> bool:
    """Return whether a run has these parameters, and no others of their groups.

    An earlier version doesn't log what it does not know; what is off now was so then.
    """
    named = {name: text for name, text in run.parameters.items() if name.startswith(MADE_WITH)}
    return named == {name: text for name, text in parameters.items() if name in named or text not in OFF}


def read_benchmarks(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results of the comparisons by name."""
    results = {
        file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))
    }
    return {name: result for name, result in results.items() if "variants" in result}


def replace_results(page: str, results: str) -> str:
    """Put results between the two marks of a page.

    Raises:
        ResultsError: If the page has not both marks, once each and in their order.
    """
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark or BEGIN in rest or END in after:
        raise ResultsError(
            f"The page has no place for results: it needs the lines {BEGIN!r} and {END!r}, once each"
        )
    return f"{before}{BEGIN}\n\n{results}\n\n{END}{after}"


def make_results(
    runs: Mapping[Shown, ModelRun], main_run: ModelRun, benchmarks: Mapping[str, Mapping[str, Any]]
) -> str:
    """Lay out all that is known, as Markdown.

    Args:
        runs: The models of the table.
        main_run: The one whose baselines and texts are shown.
        benchmarks: What `read_benchmarks` returns; a comparison that was never measured has no table.
    """
    reference = benchmarks.get("time_to_perplexity", {}).get("settings", {}).get("reference", {})
    parts = [
        make_model_table(runs),
        *compare_tokenizers(runs),
        make_baseline_table(main_run, reference),
        make_quality_table(main_run),
        *(make_text(model, run) for model, run in runs.items()),
    ]
    for name in dict.fromkeys([*BENCHMARK_TABLES, *PICTURES]):
        if name in benchmarks and name in BENCHMARK_TABLES:
            parts.append(make_benchmark_table(benchmarks[name]))
        if name in benchmarks and name in PICTURES:
            parts.append(make_picture(benchmarks[name]))
    return "\n\n".join(parts)


def make_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its first column to the left and the others to the right."""
    rule = "|".join(["---", *["---:"] * (len(header) - 1)])
    lines = [f"| {' | '.join(row)} |" for row in (header, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def make_model_table(runs: Mapping[Shown, ModelRun]) -> str:
    """Return a row a model: what it was measured at, and what it took."""
    header = (
        "model", "perplexity", "95 % interval", "bits per character", "`[UNK]`", "weights of step", "training",
        "tokens/s", "precision", "seed", "commit",
    )  # fmt: skip
    rows = []
    for model, run in runs.items():
        metrics = run.metrics
        speeds = [speed for _, speed in run.curves.get("train/tokens_per_second", ())]
        rows.append(
            (
                model.label,
                f"{metrics['test/perplexity']:.2f}",
                f"{metrics['test/perplexity_low']:.2f} to {metrics['test/perplexity_high']:.2f}",
                f"{metrics[BITS_PER_CHARACTER]:.3f}",
                f"{metrics['test/unk_rate']:.2%}",
                f"{int(run.tags['best_step']):,} of {int(run.tags['steps']):,}",
                describe_seconds(metrics["train/seconds"]),
                f"{median(speeds):,.0f}",
                run.tags["precision"],
                run.tags["seed"],
                shorten_commit(run.tags.get("git_commit", "unknown")),
            )
        )
    return make_table(header, rows)


def compare_tokenizers(runs: Mapping[Shown, ModelRun]) -> list[str]:
    """Return a sentence for each environment with a model of words and one of parts of words."""
    sentences = []
    for model, run in runs.items():
        of_words = runs.get(Shown(model.environment))
        if model.tokenizer == "subword" and of_words and compares_characters([of_words, run]):
            ratio = run.metrics[BITS_PER_CHARACTER] / of_words.metrics[BITS_PER_CHARACTER]
            sentences.append(
                "Models with different tokenizers compare by bits per character, each `[UNK]` spelled out: those of "
                f"`{model.environment}` have {describe_bits(of_words)} with words and {describe_bits(run)} with parts "
                f"of words, {ratio:.3f} times as many."
            )
    return sentences


def describe_bits(run: ModelRun) -> str:
    """Return the bits per character of a run with their interval."""
    value, low, high = (run.metrics[f"{BITS_PER_CHARACTER}{end}"] for end in ("", "_low", "_high"))
    return f"{value:.3f} (95 % interval {low:.3f} to {high:.3f})"


def make_baseline_table(run: ModelRun, reference: Mapping[str, Any]) -> str:
    """Return what is known of the words that a model is measured on without it, and the model below."""
    metrics = run.metrics
    ngram = metrics["test/kneser_ney_perplexity"]

    def interval_of(name: str) -> str:
        ends = [metrics.get(f"test/{name}_{end}") for end in ("low", "high")]
        return NOTHING if None in ends else " to ".join(f"{end:,.2f}" for end in ends)

    rows = [
        (label, metrics[f"test/{name}"], interval_of(name), f"{metrics[f'test/{name}'] / ngram:.2f} ×")
        for label, name in BASELINE_ROWS
    ]
    if "test/source_loss" in metrics:
        entropy = math.exp(metrics["test/source_loss"])
        rows.append(("the corpus's known entropy", entropy, NOTHING, f"{entropy / ngram:.2f} ×"))
    if "test_perplexity" in reference:
        label = f"plain Keras, the published example, {describe_seconds(reference['seconds'])}"
        perplexity = reference["test_perplexity"]
        rows.append((label, perplexity, NOTHING, f"{perplexity / ngram:.2f} ×"))
    ratio = f"{metrics['test/kneser_ney_ratio']:.3f} × ({interval_of('kneser_ney_ratio')})"
    model = f"`{run.tags['environment']}`"
    rows.append((model, metrics["test/perplexity"], interval_of("perplexity"), ratio))
    return make_table(
        ("the same words under", "perplexity", "95 % interval", "to the 5-gram's"),
        [(label, f"{perplexity:,.1f}", interval, ratio) for label, perplexity, interval, ratio in rows],
    )


def make_quality_table(run: ModelRun) -> str:
    """Return figures of a model's texts beside those of people's reviews of equal length."""
    metrics = run.metrics

    def compare(name: str, form: str) -> tuple[str, str, str]:
        figures = (metrics.get(f"gen/{whose}{name}") for whose in ("", "human_"))
        own, human = (NOTHING if figure is None else format(figure, form) for figure in figures)
        ratio, low, high = (metrics.get(f"gen/{name}_ratio{end}") for end in ("", "_low", "_high"))
        interval = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
        return own, human, NOTHING if ratio is None else f"{ratio:.2f}{interval}"

    rows = [(label, *compare(name, form)) for label, name, form in QUALITY_ROWS]
    if "gen/whole_mean_length" in metrics:
        end = run.parameters["generation.max_whole_tokens"]
        rows += [
            (f"words of a text that goes on to its end, {end} at most", *compare("whole_mean_length", ".0f")),
            ("share of these that end before", *compare("whole_ended_share", ".0%")),
        ]
    texts = f"{metrics['gen/texts']:,.0f} texts of `{run.tags['environment']}`"
    header = (f"{texts}, {metrics['gen/mean_length']:.0f} words each", "model", "people", "ratio")
    return make_table(header, rows)


def make_text(model: Shown, run: ModelRun) -> str:
    """Return the first text of a trained model.

    Raises:
        ResultsError: If none of its run was drawn as those behind its figures were.
    """
    settings = {name: run.parameters.get(f"generation.sampling.{name}", "null") for name in SHOWN_SETTINGS}
    drawn_alike = [
        sample
        for sample in run.samples
        if all(sample.get(name) == json.loads(text) for name, text in settings.items())
    ]
    if not drawn_alike:
        raise ResultsError(
            f"The run {run.summary.run_id} has no text with the sampling that its figures were measured with: "
            f"start `kedro run --env {model.environment} --pipelines generation` again"
        )
    text = max(drawn_alike, key=lambda sample: int(sample["epoch"]))  # of equal ones the first
    readable = MARKUP.sub(r"\\\1", " ".join(str(text["readable_text"]).split()))
    return f"{model.label}, `{text['prompt']}`, seed {text['seed']}:\n\n> {readable}"


def describe_seconds(seconds: float) -> str:
    """Return seconds, or minutes where there are several."""
    minute = 60
    return f"{seconds:.0f} s" if seconds < 2 * minute else f"{seconds / minute:.0f} min"


BENCHMARK_TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "training": (
        "training, sizes of the example",
        (
            Column("words/s", ("medians", "tokens_per_second")),
            Column("to plain Keras", ("ratios", "tokens_per_second"), "{:.2f} ×"),
            Column("memory to it", ("ratios", PEAK_MEMORY), "{:.2f} ×"),
        ),
    ),
    "time_to_perplexity": (
        "training until plain Keras' best perplexity on validation films",
        (
            Column("seconds", ("medians", "seconds")),
            Column("to plain Keras", ("ratios", "seconds"), "{:.3f} ×"),
            Column("perplexity", ("medians", "perplexity"), "{:.1f}"),
        ),
    ),
    "generation": (
        "writing, sizes of the example",
        (
            Column("words/s", ("medians", "tokens_per_second")),
            Column("to plain Keras", ("ratios", "tokens_per_second"), "{:,.0f} ×"),
        ),
    ),
    "serving": (
        "streams over HTTP, clients and server on the same cores",
        (
            Column("words/s", ("medians", "tokens_per_second")),
            Column("to those written at once", ("ratios", "tokens_per_second"), "{:.2f} ×"),
            Column("first word (ms)", ("medians", "first_token"), "{:.0f}", 1000),
        ),
    ),
    "load": (
        "a champion of `base` served under load, clients on the same cores",
        (
            Column("words/s", ("medians", "tokens_per_second")),
            Column("first word, p50 (ms)", ("medians", "first_token_p50"), "{:,.0f}", 1000),
            Column("p99", ("medians", "first_token_p99"), "{:,.0f}", 1000),
            Column("text, p99 (s)", ("medians", "text_p99"), "{:.2f}"),
            Column("refused", ("medians", "refused")),
            Column("errors", ("medians", "errors")),
            Column("memory (MB)", ("medians", "memory_bytes"), "{:,.0f}", 1e-6),
        ),
    ),
    "perplexity_scaling": (
        "training for some minutes, perplexity of validation films",
        (
            Column("parameters (million)", ("medians", "parameters"), "{:.1f}", 1e-6),
            Column("words (million)", ("medians", "words"), "{:.1f}", 1e-6),
            Column("perplexity", ("medians", "perplexity"), "{:.1f}"),
            Column("commit", ("info", "commit")),
        ),
    ),
    "data": (
        "archive to token ids",
        (
            Column("seconds", ("medians", "seconds"), "{:.1f}"),
            Column("memory, ratio", ("ratios", PEAK_MEMORY), "{:.2f} ×"),
        ),
    ),
    "startup": (
        "whole process",
        (
            Column("seconds", ("medians", "seconds"), "{:.2f}"),
            Column("ratio", ("ratios", "seconds"), "{:.2f} ×"),
        ),
    ),
}
"""By comparison: the title of the first column, and the others."""

PICTURES = {
    "perplexity_scaling": (
        "The way there; each line is a training, its best perplexity is marked:",
        "Perplexity of validation films by minutes, words and parameters",
    ),
    "scaling": (
        "How words a second and memory change with the sizes (full softmax, bfloat16, one changed at a time; "
        "[scaling](benchmarks/results/scaling.md), commit {commit}):",
        "Words a second and peak memory by vocabulary, width, context and batch",
    ),
}
"""By comparison: what stands above its picture in docs/images, and what the picture shows."""


def make_benchmark_table(result: Mapping[str, Any]) -> str:
    """Return the figures of a comparison; a link leads to all that was measured."""
    title, columns = BENCHMARK_TABLES[result["name"]]
    header = f"[{title}](benchmarks/results/{result['name']}.md)"
    if "commit" not in {column.header for column in columns}:
        header += f", commit {show_commit(result)}"
    measured = [row for row in result["variants"] if row["is_listed"] and not row["missing"]]
    return make_table(
        (header, *(column.header for column in columns)),
        [(row["name"], *(column.show(row) for column in columns)) for row in measured],
    )


def make_picture(result: Mapping[str, Any]) -> str:
    """Return the picture of a comparison below a line that says what it is."""
    name = result["name"]
    line, shown = PICTURES[name]
    return f"{line.format(commit=show_commit(result))}\n\n![{shown}](docs/images/{name}.png)"


if __name__ == "__main__":
    sys.exit(main())
