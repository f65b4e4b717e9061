"""Runs a suite of Great Expectations on a table: in memory, offline, and without a word."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from minigpt_pipeline.expectations.excerpts import cut
from minigpt_pipeline.expectations.outcome import Outcome
from minigpt_pipeline.expectations.pair_metric import register_pair_metric
from minigpt_pipeline.text.imdb import PYTHON_STRING

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

# The other arguments of an expectation say which rule it is and how it is run, not what is allowed.
_BOUNDS = ("column_list", "type_", "min_value", "max_value", "value_set", "value_pairs_set", "regex")
_MAX_ERROR_LENGTH = 300  # characters; some messages quote a whole column


def run_suite(suite: ExpectationSuite, table: pd.DataFrame) -> ExpectationSuiteValidationResult:
    """Check every expectation of a suite, with the complete list of failing rows.

    Args:
        suite: Each expectation's `meta` has a `name` of its own.
        table: With the default index, so that failing rows are named by their position.

    Returns:
        The results, in the order of the suite (Great Expectations returns them in another).
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.execution_engine import pandas_execution_engine

    config = DataContextConfig(
        # The default has a site for Data Docs of its own in the system's temporary folder.
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    result_format = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    # Great Expectations selects rows and converts columns for every rule: of Python objects it copies references only.
    strings = [name for name, dtype in table.dtypes.items() if isinstance(dtype, pd.StringDtype)]
    table = table.astype(dict.fromkeys(strings, PYTHON_STRING))
    # Below this size it takes a fingerprint of every table, which nobody reads and which copies all texts.
    pandas_execution_engine.HASH_THRESHOLD = 0
    with quiet_library(logging.ERROR):
        register_pair_metric()  # with a warning that a metric is replaced
    with quiet_library(), pd.option_context("mode.string_storage", PYTHON_STRING.storage):
        context = gx.get_context(project_config=config, mode="ephemeral")
        source = context.data_sources.add_pandas("pandas")
        asset = source.add_dataframe_asset(suite.name)
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
        result = batch.validate(suite, result_format=result_format)
        # The library would keep the table for as long as the process lives.
        batches = source.get_execution_engine().batch_manager
        batches.reset_batch_cache()
        batches.batch_data_cache.clear()
    order = {expectation.meta["name"]: position for position, expectation in enumerate(suite.expectations)}
    result.results.sort(key=lambda one: order[one.expectation_config.meta["name"]])
    return result


@contextmanager
def quiet_library(least: int = logging.WARNING) -> Iterator[None]:
    """Let Great Expectations log warnings and errors only: it tells of its own fields and configuration files."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(least)
    try:
        yield
    finally:
        logger.setLevel(level)


def to_outcome(result: ExpectationValidationResult) -> Outcome:
    """Turn a result of Great Expectations into plain data."""
    configuration = result.expectation_config
    arguments, found = configuration.kwargs, result.result
    columns = [arguments[field] for field in ("column", "column_A", "column_B") if field in arguments]
    bounds = {field: to_json(arguments[field]) for field in _BOUNDS if arguments.get(field) is not None}
    if "mostly" in arguments:
        bounds["max_failing_share"] = round(1.0 - arguments["mostly"], 12)
    rows_with_a_value = found.get("element_count", 0) - found.get("missing_count", 0)
    return Outcome(
        name=configuration.meta["name"],
        description=configuration.description,
        expectation=configuration.type,
        columns=tuple(columns),
        severity=configuration.severity.value,
        success=bool(result.success),
        bounds=bounds,
        observed=to_json(found.get("observed_value")),
        failing_rows=tuple(sorted(found.get("unexpected_index_list") or ())),
        failing_share=round(found["unexpected_count"] / rows_with_a_value, 6) if rows_with_a_value else None,
        rejects_as=configuration.meta.get("rejects_as"),
        error=_find_error(result.exception_info),
    )


def _find_error(exception_info: dict[str, Any]) -> str | None:
    """Return the first message; the information is nested by metric when a metric failed."""
    nested = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    messages = [str(one["exception_message"]) for one in nested if one["raised_exception"]]
    return cut(messages[0], _MAX_ERROR_LENGTH) if messages else None


def to_json(value: Any) -> Any:
    """Turn NumPy scalars, tuples and sets into what JSON has."""
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return round(value, 6) if isinstance(value, float) else value
