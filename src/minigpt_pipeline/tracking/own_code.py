"""Whether a model from the store would run the code of this project and no other.

MLflow runs what an `MLmodel` names: code beside it, an installed module, a pickle. Whoever may write to the store may
write all of it.
"""

import filecmp
from pathlib import Path
from typing import Any

import yaml

PACKAGE = Path(__file__).parents[1]
MODEL_CODE = "tracking/generator_pyfunc.py"
CODE_FOLDER = "code"

EXPECTED = {
    "loader_module": "mlflow.pyfunc.loaders.code_model",
    "code": CODE_FOLDER,
    "streamable": False,
}
"""Of the `MLmodel`: what MLflow goes by when it loads a model."""
FURTHER = {"artifacts", "cloudpickle_version", "env", "model_code_path", "python_version"}
"""What else may stand there; nothing of it is run, where the code path is ours."""
DESCRIPTIONS = {"MLmodel", "conda.yaml", "python_env.yaml", "registered_model_meta", "requirements.txt"}
ARTIFACTS = {"trained_model": "artifacts/trained_model.keras"}


def find_foreign(model: Path) -> str:
    """Return what in the folder of a logged model is not as this version of the project logs it, or nothing.

    Args:
        model: A copy that nobody else writes to.
    """
    try:
        described = yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))
        flavor = described["flavors"]["python_function"]
        if len(described["flavors"]) > 1 or described.get("type_hint_from_example"):
            return "MLmodel: another flavor"
        return _find_other_names(flavor) or _find_other_files(model)
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return "MLmodel"


def _find_other_names(flavor: dict[str, Any]) -> str:
    for name, value in EXPECTED.items():
        if flavor.get(name) != value:
            return f"MLmodel: {name}={flavor.get(name)!r}"
    for name in flavor.keys() - EXPECTED.keys() - FURTHER:
        return f"MLmodel: {name}"
    if Path(flavor["model_code_path"]).name != Path(MODEL_CODE).name:
        return f"MLmodel: model_code_path={flavor['model_code_path']!r}"
    artifacts = {name: one["path"] for name, one in flavor["artifacts"].items()}
    return "" if artifacts == ARTIFACTS else f"MLmodel: artifacts={artifacts}"


def _find_other_files(model: Path) -> str:
    own = {f"{CODE_FOLDER}/{PACKAGE.name}/{path}": PACKAGE / path for path in _list_files(PACKAGE)}
    own = {name: path for name, path in own.items() if "__pycache__" not in path.parts}
    own[Path(MODEL_CODE).name] = PACKAGE / MODEL_CODE
    found = _list_files(model) - DESCRIPTIONS - set(ARTIFACTS.values())
    for name in sorted(found ^ own.keys()):
        return name
    for name, path in sorted(own.items()):
        if (model / name).is_symlink() or not filecmp.cmp(model / name, path, shallow=False):
            return name
    return ""


def _list_files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
