"""Rules that hold for the project as a whole; each is shown to fail on a counter-example."""

import itertools
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

PROJECT = Path(__file__).parents[1]
ENVIRONMENTS = ("base", "sample", "test", "keras_example", "gpu")
STAGES = ("ingestion", "validation", "vectorization", "training", "evaluation", "generation")
BY_NAME_ONLY = ("comparison", "incoming", "monitoring", "promotion", "sweep")


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def catalog(request: pytest.FixtureRequest) -> DataCatalog:
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env=request.param) as session:
        return session.load_context().catalog


class AllPipelines:
    """All that is registered: two pipelines may make one dataset in two ways, which no sum of them may."""

    def __init__(self, registered: Iterable[Pipeline]) -> None:
        self.nodes = [node for pipeline in registered for node in pipeline.nodes]

    def datasets(self) -> set[str]:
        return self.inputs() | {name for node in self.nodes for name in node.outputs}

    def inputs(self) -> set[str]:
        return {name for node in self.nodes for name in node.inputs}


@pytest.fixture(scope="module")
def whole() -> AllPipelines:
    bootstrap_project(PROJECT)
    return AllPipelines(pipelines.values())


def find_undeclared(pipeline: Pipeline | AllPipelines, catalog: DataCatalog) -> set[str]:
    return {name for name in pipeline.datasets() if name not in catalog and not name.startswith("params:")}


def find_unused(pipeline: Pipeline | AllPipelines, catalog: DataCatalog) -> set[str]:
    return {name for name in catalog if not is_parameter(name)} - pipeline.datasets()


def find_unused_parameters(pipeline: Pipeline | AllPipelines, names: Iterable[str]) -> set[str]:
    return set(names) - {name.removeprefix("params:") for name in pipeline.inputs() if is_parameter(name)}


def find_misnamed(pipeline: Pipeline | AllPipelines) -> set[str]:
    return {node.name for node in pipeline.nodes if node.name != node.func.__name__}


def sort_layers(pipeline: Pipeline | AllPipelines, layers: Mapping[str, str]) -> list[str]:
    sorter = TopologicalSorter[str]()
    for node in pipeline.nodes:
        for made, used in itertools.product(node.outputs, node.inputs):
            if used in layers and layers[made] != layers[used]:
                sorter.add(layers[made], layers[used])
    return list(sorter.static_order())


def is_parameter(name: str) -> bool:
    return name == "parameters" or name.startswith("params:")


def double(number: int) -> int:
    return 2 * number


EXAMPLE = Pipeline([Node(double, inputs="params:number", outputs="doubled", name="twice")])


def test_every_dataset_is_declared(whole: AllPipelines, catalog: DataCatalog) -> None:
    assert find_undeclared(whole, catalog) == set()
    assert find_undeclared(EXAMPLE, catalog) == {"doubled"}


def test_every_declared_dataset_is_used(whole: AllPipelines, catalog: DataCatalog) -> None:
    assert find_unused(whole, catalog) == set()
    assert find_unused(EXAMPLE, DataCatalog({"unused": MemoryDataset()})) == {"unused"}


def test_every_dataset_has_a_layer_and_a_place(catalog: DataCatalog) -> None:
    datasets = {name: catalog[name] for name in catalog if not is_parameter(name)}

    assert [
        name
        for name, dataset in datasets.items()
        if not (dataset.metadata or {}).get("kedro-viz", {}).get("layer")
    ] == []


def test_layers_have_an_order(whole: AllPipelines, catalog: DataCatalog) -> None:
    """Kedro-Viz shows none of them where it finds no order."""
    layers = {
        name: catalog[name].metadata["kedro-viz"]["layer"] for name in catalog if not is_parameter(name)
    }

    order = sort_layers(whole, layers)
    assert order.index("raw") < order.index("primary") < order.index("models") < order.index("reporting")
    with pytest.raises(CycleError):
        sort_layers(whole, layers | {"validation_report": "reporting"})


def test_every_node_is_named_as_its_function(whole: AllPipelines) -> None:
    assert find_misnamed(whole) == set()
    assert find_misnamed(EXAMPLE) == {"twice"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_parameter_is_used(whole: AllPipelines, environment: str) -> None:
    names = read_configuration(environment)

    assert find_unused_parameters(whole, names) == set()
    assert find_unused_parameters(EXAMPLE, {"number", "letters"}) == {"letters"}


def read_configuration(environment: str) -> Mapping[str, Any]:
    from minigpt_pipeline.settings import CONFIG_LOADER_ARGS

    loader = OmegaConfigLoader(
        str(PROJECT / "conf"), env=environment, **CONFIG_LOADER_ARGS | {"default_run_env": environment}
    )
    return loader["parameters"]


def test_an_environment_names_only_what_base_has() -> None:
    """A misspelt key in an override would be refused only when the environment runs."""
    base = known_keys(PROJECT / "conf/base")

    for environment in ENVIRONMENTS[1:]:
        assert known_keys(PROJECT / "conf" / environment) - base == set()


def known_keys(folder: Path) -> set[str]:
    keys: set[str] = set()
    for file in folder.glob("parameters_*.yml"):
        keys |= flatten(yaml.safe_load(file.read_text()) or {})
    return keys


def flatten(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name, value in values.items():
        keys |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return keys


def test_make_clean_removes_what_every_environment_makes(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    places = {yaml.safe_load(file.read_text())["data"] for file in (PROJECT / "conf").glob("*/globals.yml")}
    kept = {f"{place}/01_raw/accepted/0a1b/original" for place in ("data", "data/test")}
    for path in ("mlartifacts", *kept, *(f"{place}/06_models/checkpoints" for place in places)):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "data/01_raw/incoming/06_models").mkdir(parents=True)

    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)

    assert len(places) > 4
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not any(path.glob("*"))}
    assert left == {"Makefile", "mlartifacts", "data/01_raw/incoming/06_models", *kept}


def test_kedro_reads_the_types_of_every_node(whole: AllPipelines, caplog: pytest.LogCaptureFixture) -> None:
    """Where it can't, it only warns, and passes raw dictionaries instead of checked parameters."""
    from kedro.validation.type_extractor import TypeExtractor

    def misnamed(number: "NotImported") -> int:  # type: ignore[name-defined] # noqa: F821
        return number

    broken = Pipeline([Node(misnamed, inputs="params:number", outputs="doubled", name="misnamed")])
    with caplog.at_level(logging.WARNING):
        typed = TypeExtractor({"whole": whole}).extract_types_from_pipelines()
        assert "Could not extract type hints" not in caplog.text
        TypeExtractor({"broken": broken}).extract_types_from_pipelines()
        assert "Could not extract type hints" in caplog.text
    groups = {name.removeprefix("params:") for name in whole.inputs() if is_parameter(name)}
    assert {name.removeprefix("params:") for name in typed} == groups


@pytest.mark.parametrize("name", [*STAGES, "data", *BY_NAME_ONLY, "retraining", "__default__"])
def test_every_pipeline_of_the_design_is_registered(name: str) -> None:
    bootstrap_project(PROJECT)

    assert pipelines[name].nodes


def test_retraining_is_all_that_the_default_pipeline_does_and_asks_the_champion() -> None:
    bootstrap_project(PROJECT)
    names = {name: {node.name for node in pipelines[name].nodes} for name in pipelines}

    assert names["__default__"] - names["retraining"] == {"train_tokenizer"}
    around = names["incoming"] | names["promotion"]
    assert names["retraining"] - names["__default__"] == {"choose_tokenizer"} | around
    assert "champion" in pipelines["retraining"].inputs() - pipelines["__default__"].inputs()


@pytest.mark.parametrize("name", BY_NAME_ONLY)
def test_the_default_pipeline_does_nothing_that_only_a_name_asks_for(name: str) -> None:
    bootstrap_project(PROJECT)

    assert not set(pipelines[name].nodes) & set(pipelines["__default__"].nodes)


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return result.stdout


def test_slow_packages_are_not_loaded_to_know_pipelines_and_catalog() -> None:
    code = """
import sys
from pathlib import Path
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
with KedroSession.create(Path.cwd(), env="test") as session:
    catalog = session.load_context().catalog
    assert dict(pipelines)
    datasets = [catalog[name] for name in catalog]
slow = {"tensorflow", "keras", "mlflow", "great_expectations", "matplotlib", "sqlalchemy"}
print(sorted(slow & set(sys.modules)))
"""
    assert run_python(code).strip().endswith("[]")
    assert run_python("import keras\n" + code).strip().endswith("'tensorflow']")


@pytest.mark.parametrize(
    ("module", "loaded"), [("definitions", ["dagster"]), ("__main__", []), ("kedro_process", [])]
)
def test_what_schedules_keep_in_memory_is_small(module: str, loaded: list[str]) -> None:
    code = f"""
import sys
import minigpt_pipeline.scheduling.{module}
large = {{"dagster", "kedro", "mlflow", "pandas", "tensorflow", "requests"}}
print(sorted(large & set(sys.modules)))
"""
    assert run_python(code).strip() == str(loaded)


@pytest.mark.parametrize(
    ("module", "addition", "contract"),
    [
        ("text/vocabulary.py", "import minigpt_pipeline.model.losses", "Each room knows only those below it"),
        (
            "datasets/json_dataset.py",
            "import minigpt_pipeline.tracking",
            "Each room knows only those below it",
        ),
        ("model/sampling.py", "import kedro", "Text and model know neither Kedro nor MLflow"),
        ("text/imdb.py", "import mlflow", "Text and model know neither Kedro nor MLflow"),
        ("pipelines/ingestion/nodes.py", "import mlflow", "Only tracking imports MLflow"),
        (
            "pipelines/training/nodes.py",
            "import minigpt_pipeline.pipelines.evaluation",
            "Pipelines meet only in the catalog",
        ),
        (
            "pipelines/comparison/nodes.py",
            "import minigpt_pipeline.pipelines.evaluation",
            "Pipelines meet only in the catalog",
        ),
        ("pipelines/training/nodes.py", "import minigpt_pipeline.tracking", "Nodes do not know the tracking"),
        ("tracking/session.py", "import dagster", "Only scheduling imports Dagster"),
    ],
)
@pytest.mark.slow
def test_import_contracts_break_on_a_counter_example(
    tmp_path: Path, module: str, addition: str, contract: str
) -> None:
    shutil.copytree(PROJECT / "src", tmp_path / "src")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    file = tmp_path / "src/minigpt_pipeline" / module
    file.write_text(file.read_text() + f"\n{addition}\n")

    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert re.search(rf"{contract} BROKEN", result.stdout)


def test_the_lock_has_a_hash_for_each_package_and_no_address_of_an_index() -> None:
    """`make install` takes packages from whichever index a machine has, and none that is not the same."""
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    packages = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)[1:]
    assert [package for package in packages if not re.search(r"--hash=sha256:[0-9a-f]{64}", package)] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links", lock) == []
