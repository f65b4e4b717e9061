"""The pages of Great Expectations about one check of the reviews."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from minigpt_pipeline.expectations.excerpts import cut
from minigpt_pipeline.expectations.suite_runner import quiet_library, to_json, to_outcome

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

RESULTS_PAGE = "index.html"
RULES_PAGE = "expectations/raw_reviews.html"
ICON = "static/images/favicon.ico"

# Lists of failing rows: the pages show none of it, and some has whole reviews.
_NOT_SHOWN = ("unexpected_list", "unexpected_index_list", "partial_unexpected_index_list")
_MAX_VALUES = 10  # of an expectation, on the page

# The results page expects to lie four folders deep in a site; here it is the site's first page.
_LINK_TO_ROOT = re.compile(r'href="(?:\.\./){3,4}')
_DATE_IN_ADDRESS = re.compile(r"\?d=\d{8}T[\d.]+Z")
_RANDOM_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def render_data_docs(
    suites: Sequence[ExpectationSuite], results: Sequence[ExpectationSuiteValidationResult]
) -> dict[str, bytes]:
    """Render the expectations and their results, each on one page that links to the other.

    Great Expectations renders the pages; nothing is written to a disk. Its own site builder would add the time of
    the run, random ids and 4 MB of manuals; without them the pages are the same for the same reviews.

    Args:
        suites: Shown as one.
        results: One for each suite; shown as one.

    Returns:
        The content of each file by its path: `index.html` with the results, `expectations/raw_reviews.html`, their
        icon. The style sheets are on public servers; without a network the pages are plain.
    """
    from great_expectations.render.renderer import ExpectationSuitePageRenderer, ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    view = DefaultJinjaPageView()
    with quiet_library():
        rules = ExpectationSuitePageRenderer().render(_merge_suites(suites))
        findings = ValidationResultsPageRenderer(run_info_at_end=False).render(_merge_results(results))
        findings.page_title = "Validation of raw_reviews"
        pages = {RESULTS_PAGE: view.render(findings), RULES_PAGE: view.render(rules)}
    icon = resources.files("great_expectations") / "render/view" / ICON
    files = {path: _make_reproducible(page, path).encode() for path, page in pages.items()}
    return files | {ICON: icon.read_bytes()}


def _merge_suites(suites: Sequence[ExpectationSuite]) -> ExpectationSuite:
    from great_expectations import ExpectationSuite

    expectations = [expectation.configuration for suite in suites for expectation in suite.expectations]
    return ExpectationSuite(name="raw_reviews", expectations=expectations)


def _merge_results(results: Sequence[ExpectationSuiteValidationResult]) -> ExpectationSuiteValidationResult:
    from great_expectations import __version__
    from great_expectations.core import ExpectationSuiteValidationResult

    merged = [_shorten(one) for result in results for one in result.results]
    num_successful = sum(bool(one.success) for one in merged)
    return ExpectationSuiteValidationResult(
        # The pages say "Failed" where the run stops: rows that are rejected one by one do not stop it.
        success=not any(to_outcome(one).refuses_batch for one in merged),
        results=merged,
        suite_name="raw_reviews",
        statistics={
            "evaluated_expectations": len(merged),
            "successful_expectations": num_successful,
            "unsuccessful_expectations": len(merged) - num_successful,
            "success_percent": 100 * num_successful / len(merged),
        },
        meta={
            "great_expectations_version": __version__,
            "batch_kwargs": {"data_asset_name": "raw_reviews"},
        },
    )


def _shorten(result: ExpectationValidationResult) -> ExpectationValidationResult:
    """Return a copy of a result that is safe to render: a few short values, and no HTML in them.

    Great Expectations writes the values of a column into its tables as they are.
    """
    from great_expectations.core import ExpectationValidationResult

    found = {name: _make_safe(value) for name, value in result.result.items() if name not in _NOT_SHOWN}
    for name in ("partial_unexpected_list", "partial_unexpected_counts"):
        if name in found:
            found[name] = found[name][:_MAX_VALUES]
    error = to_outcome(result).error
    return ExpectationValidationResult(
        success=result.success,
        expectation_config=result.expectation_config,
        result=found,
        exception_info={
            "raised_exception": error is not None,
            "exception_message": error,  # the one text that Great Expectations escapes itself
            "exception_traceback": "",  # it has the paths of this machine
        },
    )


def _make_safe(value: Any) -> Any:
    """Return a value as JSON has it, with its strings cut to an excerpt and their HTML escaped."""
    if isinstance(value, dict):
        return {name: _make_safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_make_safe(item) for item in value)
    return html.escape(cut(value), quote=False) if isinstance(value, str) else to_json(value)


def _make_reproducible(page: str, path: str) -> str:
    """Make the links those of a site of two pages, and take out what differs from run to run."""
    if path == RESULTS_PAGE:
        page = _LINK_TO_ROOT.sub('href="', page)
    page = _DATE_IN_ADDRESS.sub("", page)
    numbers: dict[str, str] = {}
    return _RANDOM_ID.sub(lambda match: numbers.setdefault(match[0], str(len(numbers) + 1)), page)
