"""A version of the registered model that somebody else wrote: its weights are data, its code is not run."""

import logging
import py_compile
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow import MlflowClient

from minigpt_pipeline.tracking.model_logging import log_model, pack_model
from minigpt_pipeline.tracking.model_registry import ModelRegistry
from minigpt_pipeline.tracking.model_versions import MlflowModelVersion
from minigpt_pipeline.tracking.own_code import find_foreign
from tests.security.conftest import run_unsafely
from tests.tracking.conftest import store  # noqa: F401 -- a fixture of the tests here, too

LOAD_UNSAFELY = "import mlflow, sys; mlflow.pyfunc.load_model(sys.argv[1])"
CODE = "code/minigpt_pipeline"


@pytest.fixture(scope="session")
def packed(honest_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this project logs of a model."""
    folder = tmp_path_factory.mktemp("packed") / "model"
    pack_model(honest_file, folder)
    return folder


@pytest.fixture
def crafted(packed: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(packed, tmp_path / "crafted"))


def describe(folder: Path, **changes: object) -> None:
    """Change what the `MLmodel` says; null leaves a word out."""
    described = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = described["flavors"]["python_function"] | changes
    described["flavors"]["python_function"] = {name: one for name, one in flavor.items() if one is not None}
    (folder / "MLmodel").write_text(yaml.safe_dump(described))


def run_code_of_its_own(folder: Path, mark: Path) -> None:
    with (folder / "generator_pyfunc.py").open("a") as file:
        file.write(f"\nopen({str(mark)!r}, 'w').close()\n")


def run_a_pickle(folder: Path, mark: Path, pickled: bytes) -> None:
    (folder / "python_model.pkl").write_bytes(pickled)
    describe(
        folder, loader_module="mlflow.pyfunc.model", model_code_path=None, python_model="python_model.pkl"
    )


def test_what_this_project_logs_is_its_own(packed: Path) -> None:
    assert find_foreign(packed) == ""


def _write(name: str, content: bytes = b"") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write


def _say(**changes: object) -> Callable[[Path], None]:
    return lambda folder: describe(folder, **changes)


def _compile_other_code(folder: Path) -> None:
    """A compiled file is run in the place of its source, where their times agree."""
    source = folder / "evil.py"
    source.write_text("print('run')")
    target = folder / CODE / "__pycache__" / "parameters.cpython-311.pyc"
    target.parent.mkdir()
    py_compile.compile(str(source), str(target))
    source.unlink()


def _link(folder: Path) -> None:
    path = folder / CODE / "parameters.py"
    shutil.move(path, folder.parent / "parameters.py")
    path.symlink_to(folder.parent / "parameters.py")


def _name_another_flavor(folder: Path) -> None:
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["sklearn"] = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
    (folder / "MLmodel").write_text(yaml.safe_dump(described))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_say(loader_module="os"), "MLmodel: loader_module='os'"),
        (_say(loader_module="mlflow.sklearn", data="model.pkl"), "MLmodel: loader_module='mlflow.sklearn'"),
        (
            _say(loader_module="mlflow.pyfunc.model", python_model="python_model.pkl"),
            "MLmodel: loader_module=",
        ),
        (_say(python_model="python_model.pkl"), "MLmodel: python_model"),
        (_say(model_code_path="evil.py"), "MLmodel: model_code_path='evil.py'"),
        (_say(code="../elsewhere"), "MLmodel: code="),
        (_say(config={"a": 1}), "MLmodel: config"),
        (_say(artifacts={"trained_model": {"path": "../../x"}}), "MLmodel: artifacts="),
        (_name_another_flavor, "MLmodel: another flavor"),
        (_write("MLmodel", b"!!python/object/apply:os.system ['true']"), "MLmodel"),
        (_write("MLmodel", b"[]"), "MLmodel"),
        (_write("python_model.pkl"), "python_model.pkl"),
        (_write("code/keras.py"), "code/keras.py"),
        (_write("code/sitecustomize.py"), "code/sitecustomize.py"),
        (_write(f"{CODE}/parameters.py", b"import os"), f"{CODE}/parameters.py"),
        (_write("generator_pyfunc.py", b"import os"), "generator_pyfunc.py"),
        (_write("artifacts/evil.py"), "artifacts/evil.py"),
        (lambda folder: (folder / CODE / "files.py").unlink(), f"{CODE}/files.py"),
        (_compile_other_code, f"{CODE}/__pycache__/parameters.cpython-311.pyc"),
        (_link, f"{CODE}/parameters.py"),
    ],
)
def test_what_is_not_its_own_is_found(crafted: Path, change: Callable[[Path], None], told: str) -> None:
    change(crafted)

    assert find_foreign(crafted).startswith(told)


@pytest.mark.full
@pytest.mark.parametrize("has_pickle", [False, True])
def test_a_version_with_code_of_others_is_tried_out_with_ours(
    store: str,  # noqa: F811
    honest_file: Path,
    has_pickle: bool,
    mark: Path,
    pickled: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with mlflow.start_run() as run:
        log_model(honest_file)
    registry = ModelRegistry("minigpt")
    number = registry.register(run.info.run_id)
    source = MlflowClient().get_model_version("minigpt", number).source
    model_id = source.removeprefix("models:/")
    folder = Path(mlflow.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    run_a_pickle(folder, mark, pickled) if has_pickle else run_code_of_its_own(folder, mark)
    said = run_unsafely(LOAD_UNSAFELY, folder)
    assert mark.exists(), said  # the payload is live
    mark.unlink()

    with caplog.at_level(logging.WARNING):
        trial = MlflowModelVersion(registry, number).try_out(["the film"])

    assert (trial.problem, mark.exists()) == ("", False)
    assert (
        f"Version {number} of minigpt brings along what is not of this version of the project" in caplog.text
    )
    MlflowModelVersion(registry, number).load()  # what promotion and the server do
    assert not mark.exists()
