"""The report of a batch of reviews as one page that looks right offline; Data Docs have details, and a CDN's style."""

from dataclasses import dataclass
from typing import Any

from minigpt_pipeline import __version__
from minigpt_pipeline.expectations.report import ValidationReport
from minigpt_pipeline.pages import make_environment

TEMPLATE = "validation.html.jinja"
REFUSAL = "Else nothing downstream runs."
MARKS = {"kept": "✓ met", "careful": "! careful", "broken": "✗ not met"}


@dataclass(frozen=True)
class Row:
    """An expectation as the page shows it.

    Args:
        name: As in the suite.
        state: `kept`, `careful` (not met, and the run goes on) or `broken` (not met, and it does not).
        description: What is expected.
        consequence: What happens to reviews, or to the batch, where it is not met.
        found: In a few words.
        examples: `review_id` and `value` of the first failing reviews.
    """

    name: str
    state: str
    description: str
    consequence: str
    found: str
    examples: list[dict[str, str | None]]

    @property
    def mark(self) -> str:
        """The state in a word."""
        return MARKS[self.state]


def render_report(report: ValidationReport) -> str:
    """Write the page, those expectations first that are not met.

    Returns:
        HTML, the same for the same report.
    """
    template = make_environment("minigpt_pipeline.expectations").get_template(TEMPLATE)
    return template.render(
        title=f"Validation of {report['reviews']['read']:,} reviews",
        version=__version__,
        report=report,
        expectations=sort_expectations(report),
    )


def sort_expectations(report: ValidationReport, refusal: str = REFUSAL) -> list[Row]:
    """Return the expectations as a page shows them, those first that are not met.

    Args:
        report: Of a check.
        refusal: What happens where a critical one is not met.
    """
    rows = [_describe(one, one["name"] in report["refused_by"], refusal) for one in report["expectations"]]
    order = {"broken": 0, "careful": 1, "kept": 2}
    return sorted(rows, key=lambda row: order[row.state])


def _describe(one: dict[str, Any], refuses: bool, refusal: str) -> Row:
    if one["rejects_as"]:
        consequence = f"A review that breaks it is set aside as {one['rejects_as']}."
    else:
        consequence = refusal if one["severity"] == "critical" else "Else a warning."
    if one["error"] is not None:
        found = f"It could not be checked: {one['error']}"
    elif one["failing_share"] is None:
        found = _describe_value(one["observed"])
    elif one["failing_rows"]:
        found = f"Reviews that break it: {one['failing_rows']:,}, {one['failing_share']:.2%}"
    else:
        found = "Reviews that break it: none"
    state = "kept" if one["success"] else "broken" if refuses else "careful"
    return Row(one["name"], state, one["description"], consequence, found, one["examples"])


def _describe_value(observed: Any) -> str:
    match observed:
        case list():
            return ", ".join(map(str, observed))
        case int():
            return f"{observed:,}"
        case float():  # every bound of a whole column is one of a share
            return f"{observed:.2%}"
    return str(observed)
