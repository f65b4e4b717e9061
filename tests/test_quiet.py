"""What a user reads when TensorFlow is imported, by a process of its own: nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

QUIETLY = "from minigpt_pipeline.quiet import quieten; quieten(); quieten()\n"
NOISE = "import os; os.write(2, b'I0000 port.cc:153] custom operations are on')\n"


def run(code: str, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    if path:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), environment.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A TensorFlow that says something when it is imported."""
    (tmp_path / "tensorflow").mkdir()
    return tmp_path / "tensorflow" / "__init__.py"


@pytest.mark.slow
def test_tensorflow_says_nothing() -> None:
    result = run(QUIETLY + "import keras, tensorflow as tf; print(float(tf.reduce_sum(tf.ones(3))))")

    assert (result.stdout, result.stderr) == ("3.0\n", "")


def test_what_comes_later_is_heard(package: Path) -> None:
    package.write_text(NOISE + "def work(): os.write(2, b'heard')\n")

    result = run(QUIETLY + "import tensorflow; tensorflow.work()", path=package.parents[1])

    assert (result.returncode, result.stderr) == (0, "heard")


def test_an_import_that_fails_says_all(package: Path) -> None:
    package.write_text(NOISE + "raise ImportError('libcuda.so is not there')\n")

    result = run(QUIETLY + "import tensorflow", path=package.parents[1])

    assert result.returncode == 1
    assert "custom operations are on" in result.stderr
    assert "ImportError: libcuda.so is not there" in result.stderr


def test_the_module_has_its_own_loader(package: Path) -> None:
    package.write_text("")
    code = "import tensorflow as tf; print(type(tf.__spec__.loader).__name__, tf.__spec__.loader is tf.__loader__)"

    assert run(QUIETLY + code, path=package.parents[1]).stdout == "SourceFileLoader True\n"


def test_a_user_s_log_level_stays() -> None:
    code = "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '0'\n" + QUIETLY

    assert run(code + "print(os.environ['TF_CPP_MIN_LOG_LEVEL'])").stdout == "0\n"


def test_mlflow_s_advice_to_developers_is_not_heard_and_other_warnings_are() -> None:
    code = "import warnings\nfor module in ('mlflow.pyfunc', 'another'):\n"
    code += "    warnings.warn_explicit(module, UserWarning, 'file.py', 1, module=module)"

    assert run(QUIETLY + code).stderr == "file.py:1: UserWarning: another\n"
