"""No source file can load a pickle, run text as code, or switch off what guards against it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SOURCES = [
    path for folder in ("src", "benchmarks", "deploy", "docs") for path in (PROJECT / folder).rglob("*.py")
]

MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "dill",
    "pickletools",
}
FUNCTIONS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    "enable_unsafe_deserialization",
    "read_pickle",
    "to_pickle",
    "unsafe_load",
    "full_load",
}
"""Of whatever module."""
NAMED = {
    ("torch", "load"),
    ("yaml", "load"),
    ("yaml", "load_all"),
    ("saving", "load_model"),
    ("models", "load_model"),
    ("os", "system"),
    ("os", "popen"),
}
"""Of these modules. Keras' own loader makes whatever a file names; `model/from_file.py` makes our model."""


def find_unsafe(source: str) -> Iterator[str]:
    """Yield each use of what runs data as code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in MODULES:
            yield node.module
        elif isinstance(node, ast.Call):
            yield from _find_unsafe_call(node)


def _find_unsafe_call(call: ast.Call) -> Iterator[str]:
    match call.func:
        case ast.Name(id=name) if name in FUNCTIONS:
            yield name
        case ast.Attribute(attr=name) if name in METHODS:
            yield name
        case ast.Attribute(value=ast.Name(id=module) | ast.Attribute(attr=module), attr=name) if (
            module,
            name,
        ) in NAMED:
            yield f"{module}.{name}"
    for keyword in call.keywords:
        is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg == "allow_pickle" and not is_off:
            yield "allow_pickle"
        if keyword.arg == "safe_mode":
            yield "safe_mode"
        if keyword.arg == "shell" and not is_off:
            yield "shell"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_no_source_file_runs_data_as_code(path: Path) -> None:
    assert list(find_unsafe(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "pickle"),
        ("import os, cloudpickle as safe", "cloudpickle"),
        ("from joblib import load", "joblib"),
        ("from joblib.numpy_pickle import load", "joblib.numpy_pickle"),
        ("def f():\n    import marshal", "marshal"),
        ("import shelve", "shelve"),
        ("import dill", "dill"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("np.load(path, allow_pickle=trusted)", "allow_pickle"),
        ("yaml.load(text, Loader=yaml.FullLoader)", "yaml.load"),
        ("yaml.unsafe_load(text)", "unsafe_load"),
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
        ("torch.load(path)", "torch.load"),
        ("keras.config.enable_unsafe_deserialization()", "enable_unsafe_deserialization"),
        ("keras.saving.load_model(path)", "saving.load_model"),
        ("load(path, safe_mode=False)", "safe_mode"),
        ("pd.read_pickle(path)", "read_pickle"),
        ("os.system(command)", "os.system"),
        ("subprocess.run(command, shell=True)", "shell"),
    ],
)
def test_a_counter_example_is_found(source: str, found: str) -> None:
    assert list(find_unsafe(source)) == [found]


def test_what_is_safe_is_let_through() -> None:
    safe = "np.load(path, allow_pickle=False); yaml.safe_load(text); subprocess.run(command, shell=False)"

    assert list(find_unsafe(safe)) == []
