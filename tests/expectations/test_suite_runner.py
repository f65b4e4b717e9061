import gc
import subprocess
import sys
import tracemalloc

import pandas as pd
import pytest

from minigpt_pipeline.expectations.suite_runner import run_suite, to_outcome
from minigpt_pipeline.text.imdb import PYTHON_STRING

SLOW_PACKAGES = """
import sys
import pandas as pd
from minigpt_pipeline.expectations.clean_reviews import CleanReviewsValidator
from minigpt_pipeline.pipelines.validation import create_pipeline
create_pipeline()
assert "great_expectations" not in sys.modules, "great_expectations is loaded before it is used"
from minigpt_pipeline.expectations.suite_runner import run_suite
import great_expectations as gx
import great_expectations.expectations as gxe
suite = gx.ExpectationSuite(
    name="any", expectations=[gxe.ExpectColumnValuesToNotBeNull(column="a", meta={"name": "a_is_there"})]
)
run_suite(suite, pd.DataFrame({"a": [1, None]}))
print(sorted({"tensorflow", "keras", "mlflow"} & set(sys.modules)))
"""


@pytest.fixture
def outcomes() -> dict:
    """Of three rules on 500 numbers, of which every second one is missing and 249 are above zero."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    numbers = pd.DataFrame({"number": [None if position % 2 else float(position) for position in range(500)]})
    rules = [
        gxe.ExpectColumnValuesToBeBetween(
            column="number",
            max_value=0,
            mostly=0.25,
            severity="warning",
            description="Zero.",
            meta={"name": "zero"},
        ),
        gxe.ExpectColumnMeanToBeBetween(column="number", min_value=0, max_value=9, meta={"name": "mean"}),
        gxe.ExpectColumnMeanToBeBetween(column="letter", min_value=0, meta={"name": "absent"}),
    ]
    suite = gx.ExpectationSuite(name="numbers", expectations=rules)
    results = run_suite(suite, numbers).results
    assert [one.expectation_config.meta["name"] for one in results] == ["zero", "mean", "absent"]
    return {outcome.name: outcome for outcome in map(to_outcome, results)}


def test_run_suite_finds_every_failing_row(outcomes: dict) -> None:
    assert outcomes["zero"].failing_rows == tuple(range(2, 500, 2))
    assert outcomes["zero"].failing_share == pytest.approx(249 / 250)


def test_to_outcome_takes_over_the_rule_and_its_bounds(outcomes: dict) -> None:
    zero, mean = outcomes["zero"], outcomes["mean"]
    assert (zero.description, zero.severity, zero.columns, zero.success) == (
        "Zero.",
        "warning",
        ("number",),
        False,
    )
    assert zero.bounds == {"max_value": 0, "max_failing_share": 0.75}
    assert (mean.severity, mean.observed, mean.failing_share) == ("critical", 249.0, None)


def test_to_outcome_says_why_a_rule_could_not_be_evaluated(outcomes: dict) -> None:
    assert "letter" in outcomes["absent"].error
    assert outcomes["absent"].refuses_batch
    assert outcomes["mean"].error is None


def test_run_suite_copies_no_text() -> None:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    rules = [
        gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex="[0-9]{9}", meta={"name": "no_number"}),
        gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=9, meta={"name": "is_long"}),
        gxe.ExpectColumnValuesToBeUnique(column="text", meta={"name": "is_unique"}),
    ]
    suite = gx.ExpectationSuite(name="any", expectations=rules)
    table = pd.DataFrame({"text": [f"{row} " * 10_000 for row in range(200)]}, dtype=PYTHON_STRING)
    run_suite(suite, table.head(1))  # loads what is loaded once
    num_characters = table["text"].str.len().sum()

    tracemalloc.start()
    assert run_suite(suite, table).success
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < num_characters / 2


def test_run_suite_keeps_no_table() -> None:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    def count_tables() -> int:
        return sum(isinstance(one, pd.DataFrame) and "kept" in one for one in gc.get_objects())

    rules = [gxe.ExpectColumnValuesToBeUnique(column="kept", meta={"name": "kept_is_unique"})]
    table = pd.DataFrame({"kept": ["a", "b"]})
    result = run_suite(gx.ExpectationSuite(name="any", expectations=rules), table)
    assert result.success
    assert count_tables() == 1


def test_validation_loads_no_library_that_it_does_not_need() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_PACKAGES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
