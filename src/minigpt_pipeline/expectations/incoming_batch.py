"""What becomes of a batch of new reviews, with the reasons."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from minigpt_pipeline.expectations.excerpts import cut
from minigpt_pipeline.expectations.incoming_reviews import check_incoming_reviews
from minigpt_pipeline.expectations.report import describe_counts, describe_finding, describe_warnings
from minigpt_pipeline.files import printable
from minigpt_pipeline.parameters import IncomingParameters, IngestionParameters, ValidationParameters
from minigpt_pipeline.text.imdb import tabulate_reviews
from minigpt_pipeline.text.incoming_batch import BatchOutcome, CheckedBatch, IncomingBatch, name_review
from minigpt_pipeline.text.known_texts import KnownTexts
from minigpt_pipeline.text.review_files import parse_review_files

FORMAT_VERSION = 1
KNOWN = "known"
"""As what a review is rejected whose text the project has already."""

_MAX_NAMES = 20
_MAX_REASON_LENGTH = 500


def judge_batch(
    batch: IncomingBatch,
    known: KnownTexts,
    incoming: IncomingParameters,
    validation: ValidationParameters,
    ingestion: IngestionParameters,
) -> CheckedBatch:
    """Read a batch and check it as a whole.

    Args:
        batch: Its files are opened here.
        known: Texts that are not taken in again; they do not count against the batch.
        incoming: The bounds.
        validation: Bounds of lengths and labels.
        ingestion: How texts lie in files.

    Returns:
        Also for a batch that can't be read; its report says so.
    """
    max_bytes = round(incoming.max_megabytes * 1e6)
    try:
        files = parse_review_files(batch.open(max_bytes), ingestion, max_bytes, incoming.max_reviews)
    # Nobody can foresee what a library raises on a file that somebody has made up, and no batch stops a run.
    except Exception as error:  # noqa: BLE001
        told = str(error) if isinstance(error, ValueError) else f"It can't be read: {error!r}"
        return _quarantine(batch, [cut(printable(told), _MAX_REASON_LENGTH)])
    reviews = files.reviews
    reviews["review_id"] = [name_review(batch.batch_id, review_id) for review_id in reviews["review_id"]]
    is_known = known.find(reviews["text"])
    new = reviews[~is_known].reset_index(drop=True)
    report = _begin_report(batch) | {
        "passed_over": list(files.passed_over[:_MAX_NAMES]),
        "num_passed_over": len(files.passed_over),
        "reviews": _count(len(reviews), 0, {KNOWN: int(is_known.sum())}),
    }
    if new.empty:
        reason = f"All {len(reviews):,} texts are known already: nothing is new"
        return _quarantine(batch, [reason], report)
    check = check_incoming_reviews(new, incoming, validation, known)
    by_reason = report["reviews"]["rejected_by_reason"] | check.report["reviews"]["rejected_by_reason"]
    accepted = check.report["accepted"]
    report |= {
        "outcome": str(BatchOutcome.ACCEPTED if accepted else BatchOutcome.QUARANTINED),
        "reasons": [
            f"{one['name']}: {describe_finding(one, with_examples=False)}"
            for one in check.report["expectations"]
            if one["name"] in check.report["refused_by"]
        ],
        "warnings": describe_warnings(check.report, with_examples=False),
        "reviews": _count(len(reviews), len(check.kept) if accepted else 0, by_reason),
        "validation": check.report,
    }
    if accepted:
        return CheckedBatch(batch, BatchOutcome.ACCEPTED, check.kept, check.kept, report)
    measured = new[new["text"].notna()].reset_index(drop=True)
    return CheckedBatch(batch, BatchOutcome.QUARANTINED, tabulate_reviews([]), measured, report)


def recognize_batch(batch: IncomingBatch) -> CheckedBatch:
    """Say of a batch that it was accepted before; it is not read again."""
    reason = "The same files were accepted before, and are kept with that batch: this copy is removed"
    report = _begin_report(batch) | {"outcome": str(BatchOutcome.TAKEN_BEFORE), "reasons": [reason]}
    none = tabulate_reviews([])
    return CheckedBatch(batch, BatchOutcome.TAKEN_BEFORE, none, none, report)


def add_drift(checked: CheckedBatch, figures: dict[str, float], warnings: dict[str, str]) -> CheckedBatch:
    """Put what was measured of a batch into its report.

    Args:
        checked: The batch.
        figures: None where there was nothing to measure, or nothing to compare with.
        warnings: By the figures that they are about.
    """
    drift = {"figures": figures, "warnings": warnings} if figures else None
    return replace(checked, report=checked.report | {"drift": drift})


def _quarantine(
    batch: IncomingBatch, reasons: list[str], report: dict[str, Any] | None = None
) -> CheckedBatch:
    report = (report or _begin_report(batch)) | {"reasons": reasons}
    none = tabulate_reviews([])
    return CheckedBatch(batch, BatchOutcome.QUARANTINED, none, none, report)


def _begin_report(batch: IncomingBatch) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "batch_id": batch.batch_id,
        "name": printable(batch.name),
        "size": batch.size,
        "outcome": str(BatchOutcome.QUARANTINED),
        "reasons": [],
        "warnings": [],
        "reviews": _count(0, 0, {}),
        "passed_over": [],
        "num_passed_over": 0,
        "validation": None,
        "drift": None,
    }


def _count(read: int, taken: int, by_reason: dict[str, int]) -> dict[str, Any]:
    rejected = {reason: count for reason, count in by_reason.items() if count}
    return {"read": read, "taken": taken, "rejected_by_reason": rejected}


def describe_batch(report: Mapping[str, Any]) -> str:
    """Return what became of a batch in a line."""
    counts, by_reason = report["reviews"], report["reviews"]["rejected_by_reason"]
    rejected = f" ({describe_counts(by_reason)})" if by_reason else ""
    found = f"{counts['taken']:,} of {counts['read']:,} reviews taken{rejected}"
    return f"{report['name']}: {report['outcome']}, {found}"
