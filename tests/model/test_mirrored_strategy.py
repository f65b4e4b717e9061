"""What two devices train together is what one trains alone."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.model.mirrored_worker import CASES

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the worker found in a process of its own: TensorFlow splits a CPU once, before it computes."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.model.mirrored_worker"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_the_cpu_is_split_into_devices(found: dict[str, Any]) -> None:
    assert found["device"] == {
        "name": "2 x CPU",
        "precision": "float32",
        "mirrored": ["CPU:0", "CPU:1"],
        "xla": False,
        "num_workers": 1,
    }


@pytest.mark.parametrize(("number", "case"), enumerate(CASES))
def test_two_devices_train_to_the_losses_of_one(
    number: int, case: dict[str, Any], found: dict[str, Any]
) -> None:
    one, both = found["cases"][number]["one"], found["cases"][number]["both"]

    assert one[-1] < one[0] - 1
    assert both == pytest.approx(one, abs=1e-2 if "precision" in case else 1e-4)


def test_a_training_on_two_devices_goes_on_after_a_break(found: dict[str, Any]) -> None:
    assert found["broken"] == found["whole"][5:]  # of steps 1 to 4, and of the look after the first epoch
