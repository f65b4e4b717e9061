"""What was served in a window, as JSON can hold it and as a line or two."""

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pandas as pd

from minigpt_pipeline.monitoring.figures import (
    TrainingReviews,
    measure_lengths,
    measure_requests,
    measure_texts,
    measure_training,
)
from minigpt_pipeline.monitoring.warnings import ALL
from minigpt_pipeline.text.served_days import ServedRecords

NUM_SPANS = 24
"""Of equal length, into which a window is cut to show how figures went."""

SHOWN = ("first_token_p50", "first_token_p95", "unk_rate", "seq_rep_4")
"""Figures of each span, beside `requests` and `texts`."""

SHARES_OF_REQUESTS = ("error_share", "overloaded_share", "refused_share")


def describe_served(
    records: ServedRecords, reviews: TrainingReviews | None, context: int | None, min_texts: int
) -> dict[str, Any]:
    """Measure all that was served, each version's part of it, and how it went.

    Args:
        records: Of the window.
        reviews: Of the training films; null where there are none.
        context: Of the model in use, in tokens; null where there is none.
        min_texts: With fewer there are no figures but counts; with fewer requests no shares of them.

    Returns:
        `since` and `until`; `figures` of all and of each version, with `training_...` of the reviews that they are held
        against; `refused`, the number of requests by status and reason; `spans`, each with its `begin`; `examples`;
        `damaged_lines`; `training_reviews`.
    """
    texts, refusals = records.texts, records.refusals
    versions = sorted(
        {*texts["model_version"], *refusals["model_version"]}, key=lambda name: (len(name), name)
    )
    parts = {ALL: (texts, refusals)} | {
        name: (texts[texts["model_version"] == name], refusals[refusals["model_version"] == name])
        for name in versions
    }
    reasons = refusals["status"].astype("str") + " " + refusals["code"]
    by_reason = refusals["count"].groupby(reasons).sum().sort_index()
    return {
        "since": records.since and records.since.isoformat(timespec="seconds"),
        "until": records.until.isoformat(timespec="seconds"),
        "min_texts": min_texts,
        "figures": {
            name: _measure(served, refused, reviews, context, min_texts)
            for name, (served, refused) in parts.items()
        },
        "refused": {str(reason): int(count) for reason, count in by_reason.items()},
        "spans": list(_cut_into_spans(records)),
        "examples": [
            {"at": one.at, "model_version": one.model_version, "prompt": one.prompt, "text": one.text}
            for one in records.examples
        ],
        "damaged_lines": records.damaged_lines,
        "training_reviews": 0 if reviews is None else len(reviews.token_ids),
        "training_lengths": {} if reviews is None else measure_lengths(reviews),
    }


def _measure(
    texts: pd.DataFrame,
    refusals: pd.DataFrame,
    reviews: TrainingReviews | None,
    context: int | None,
    min_texts: int,
) -> dict[str, float]:
    figures = measure_requests(texts, refusals)
    if figures["requests"] < min_texts:
        figures = {name: value for name, value in figures.items() if name not in SHARES_OF_REQUESTS}
    if len(texts) < min_texts:
        return figures
    figures |= measure_texts(texts, context)
    if reviews is not None:
        figures |= {f"training_{name}": value for name, value in measure_training(texts, reviews).items()}
    return figures


def _cut_into_spans(records: ServedRecords) -> Iterator[dict[str, Any]]:
    """Yield figures of each span; null where there are none, and no span where nothing was served."""
    if records.since is None or not len(records.texts) + len(records.refusals):
        return
    length = max((records.until - records.since) / NUM_SPANS, timedelta(seconds=1))
    places = [
        ((frame["at"] - records.since) // length).clip(0, NUM_SPANS - 1)
        for frame in (records.texts, records.refusals)
    ]
    for number in range(NUM_SPANS):
        texts, refusals = (
            frame[place == number]
            for frame, place in zip((records.texts, records.refusals), places, strict=True)
        )
        counted = measure_requests(texts, refusals)
        measured = measure_texts(texts) if len(texts) else {}
        yield {
            "begin": (records.since + number * length).isoformat(timespec="seconds"),
            "requests": counted["requests"],
            "texts": counted["texts"],
            **{name: measured.get(name) for name in SHOWN},
        }


def summarize(report: Mapping[str, Any]) -> Iterator[str]:
    """Say in a line what was served, and in one for each warning what to look at.

    Args:
        report: As `describe_served` makes it, with its `warnings`.
    """
    figures = report["figures"][ALL]
    since = report["since"][:16].replace("T", " ") if report["since"] else "ever"
    if not figures["requests"]:
        yield f"Nothing was served since {since}"
        return
    versions = [name for name in report["figures"] if name != ALL]
    numbers = f"version{'s' * (len(versions) > 1)} {', '.join(versions)}"
    yield f"{figures['texts']:,.0f} texts of {figures['requests']:,.0f} requests since {since} UTC, {numbers}"
    if "unk_rate" in figures:
        beside = figures.get("training_unk_rate")
        share = "" if beside is None else f" (training reviews {beside:.2%})"
        yield (
            f"  [UNK] in prompts {figures['unk_rate']:.2%}{share}, first token "
            f"{figures.get('first_token_p50', math.nan):.3f} s, a text {figures['seconds_p50']:.2f} s"
        )
    elif figures["texts"] < report["min_texts"]:
        yield f"  not measured: fewer than min_texts={report['min_texts']} texts say nothing"
    for warning in report["warnings"]:
        yield f"  ! {warning['text']}: {warning['next_step']}"
