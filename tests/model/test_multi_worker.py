"""What several processes train together is what one trains alone."""

import json
import sys
from pathlib import Path

import pytest

from minigpt_pipeline.local_workers import start
from tests.model.mirrored_worker import CASES

pytestmark = pytest.mark.full


def train(number: int, count: int, folder: Path) -> list[list[float]]:
    """Return the losses that each of several workers saw; of one alone, where it is one."""
    command = [sys.executable, "-m", "tests.model.multi_worker", str(number)]
    files = [(folder / f"{count}_{index}.txt").open("w+") for index in range(count)]
    workers = start([command] * count, files)
    assert [worker.wait(120) for worker in workers] == [0] * count
    for file in files:
        file.seek(0)
    return [json.loads(file.readlines()[-1]) for file in files]


@pytest.mark.parametrize(("number", "count"), [(0, 2), (1, 2), (2, 4), (3, 2)])
def test_workers_train_to_the_losses_of_one(number: int, count: int, tmp_path: Path) -> None:
    (alone,) = train(number, 1, tmp_path)
    chief, *others = train(number, count, tmp_path)

    assert alone[-1] < alone[0] - 1
    assert chief == pytest.approx(alone, abs=1e-2 if "precision" in CASES[number] else 1e-4)
    for other in others:
        assert set(other) < set(chief)  # the losses of training; the chief alone looks at validation
