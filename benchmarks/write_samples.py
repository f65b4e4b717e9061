"""`python -m benchmarks.write_samples`: a page of texts of a trained model, so many for each preset, none picked."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kedro.io import DatasetError
from rich.console import Console

from benchmarks.harness import PROJECT
from minigpt_pipeline.commit import read_commit

MARKUP = re.compile(r"([\\`*_\[\]<>#|$~])")
"""What Markdown would take for markup inside a line."""


HEAD = """# Samples

{num_texts} texts for each preset of `conf/base/parameters_generation.yml`, as they came: none is picked, none left out.
Text i has seed i, from 0, and goes on from prompt i; after the last prompt comes the first again. Spaces and quotes are
set as people set them. The model writes in lower case only; each word has the capitals that it has in most training
reviews, so that `will smith` is will Smith. ∎ is where a text ended by itself.
"""


class Origin(NamedTuple):
    """Where the texts come from.

    Args:
        run_id: The MLflow run that trained the model.
        environment: Of that run.
        training_commit: Of the code that trained it.
        writing_commit: Of the code that wrote the texts; `-dirty` where files differ from it.
        seed: Of the training.
        steps: Whose weights the model has.
        perplexity: The measure on the test films; null where it was not taken.
    """

    run_id: str
    environment: str
    training_commit: str
    writing_commit: str
    seed: str
    steps: str
    perplexity: float | None


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.write_samples",
        description="Write texts with a trained model, as many for each preset of generation.presets, none picked.",
    )
    parser.add_argument("--env", default="base", help="whose model (default: %(default)s)")
    parser.add_argument("--texts", type=int, default=20, help="of each preset (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=PROJECT / "docs/samples.md", help="default: docs/samples.md"
    )
    options = parser.parse_args(arguments)
    if options.texts < 1:
        parser.error(f"--texts {options.texts}: at least one is needed")
    return options


def write_page(environment: str, num_texts: int, project: Path = PROJECT) -> str:
    """Write texts with the model of an environment; the same page for the same model, code and parameters.

    Args:
        environment: Such as `base`.
        num_texts: Of each preset: text i continues prompt i, after the last the first again, and has seed i.
        project: The project or a copy of it.

    Returns:
        Markdown.

    Raises:
        ValueError: If no run is known for the model, or no preset is configured.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from minigpt_pipeline.model.compute import configure_compute
    from minigpt_pipeline.model.generation import Writer, generate_texts
    from minigpt_pipeline.tracking.store import TrackingSettings, connect

    bootstrap_project(project)
    with KedroSession.create(project, env=environment) as session:
        context = session.load_context()
        catalog = context.catalog
        connect(TrackingSettings(**context.config_loader["mlflow"]), project)
    generation = catalog.load("params:generation")
    if not generation.presets:
        raise ValueError("There is no preset: name some under presets in conf/base/parameters_generation.yml")
    trained_model = catalog.load("trained_model")
    origin = find_origin(catalog["trained_model"].filepath, trained_model.metadata)
    configure_compute(catalog.load("compute"))
    writer = Writer(trained_model.load_model(), trained_model.has_learnt_ends)
    seeds = range(num_texts)
    prompts = [generation.prompts[seed % len(generation.prompts)] for seed in seeds]
    sections = []
    for name in generation.presets:
        sampling = generation.preset(name)
        texts = generate_texts(writer, trained_model.tokenizer, prompts, sampling, seeds)
        sections.append(
            make_section(name, sampling.model_dump(), [(text.readable_text, text.ended) for text in texts])
        )
    return "\n".join([make_head(origin, num_texts, generation.prompts), *sections])


def find_origin(model_file: Path, metadata: Mapping[str, Any]) -> Origin:
    """Ask the model's file and MLflow where a model comes from.

    Args:
        model_file: The file of the model; its lineage lies beside it.
        metadata: Of the model.

    Raises:
        ValueError: If the model has no run, or MLflow does not know it.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    from minigpt_pipeline.hidden import hide_password
    from minigpt_pipeline.tracking.lineage import read_lineage

    lineage = read_lineage(model_file)
    if lineage is None or lineage.run_id is None:
        raise ValueError(
            f"{model_file} has no lineage beside it that names its run: train it with `kedro run`"
        )
    try:
        run = mlflow.get_run(lineage.run_id)
    except MlflowException as error:
        store = hide_password(mlflow.get_tracking_uri())
        raise ValueError(
            f"The run {lineage.run_id}, which trained {model_file}, is not in the store {store}: "
            "set MLFLOW_TRACKING_URI to the store it was trained with"
        ) from error
    return Origin(
        run_id=lineage.run_id,
        environment=run.data.tags.get("environment", "unknown"),
        training_commit=run.data.tags.get("git_commit", "unknown"),
        writing_commit=str(read_commit(PROJECT)),
        seed=str(metadata["seed"]),
        steps=str(metadata["best_step"]),
        perplexity=run.data.metrics.get("test/perplexity"),
    )


def make_head(origin: Origin, num_texts: int, prompts: Sequence[str]) -> str:
    """Say what wrote the texts, and that nobody chose among them."""
    measured = f", perplexity {origin.perplexity:.2f} on the test films" if origin.perplexity else ""
    quoted = ", ".join(f"`{prompt}`" for prompt in prompts)
    rows = {
        "model": f"MLflow run `{origin.run_id}`, environment `{origin.environment}`, seed {origin.seed}, "
        f"weights of step {origin.steps}{measured}",
        "trained by": f"commit `{origin.training_commit}`",
        "texts written by": f"commit `{origin.writing_commit}`, `make samples`",
        "prompts": quoted,
    }
    table = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([HEAD.format(num_texts=num_texts), "| | |", "|---|---|", *table, ""])


def make_section(name: str, sampling: Mapping[str, Any], texts: Sequence[tuple[str, bool]]) -> str:
    """Lay out the texts of a preset.

    Args:
        name: Of the preset.
        sampling: Its settings; those that are null are off.
        texts: Each text, and whether it ended by itself.
    """
    settings = ", ".join(f"`{key}: {value}`" for key, value in sampling.items() if value is not None)
    escaped = [(MARKUP.sub(r"\\\1", text), ended) for text, ended in texts]
    lines = [f"{number}. {text}{' ∎' if ended else ''}" for number, (text, ended) in enumerate(escaped)]
    return "\n".join([f"## {name}", "", settings, "", *lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; return the exit status."""
    from minigpt_pipeline.files import replacing
    from minigpt_pipeline.tracking.store import TrackingStoreError

    options = parse(arguments)
    console = Console(stderr=True)
    try:
        page = write_page(options.env, options.texts)
    except (DatasetError, TrackingStoreError, ValueError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    with replacing(options.output) as partial:
        partial.write_text(page, encoding="utf-8")
    console.print(f"{options.output} is written", markup=False, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
