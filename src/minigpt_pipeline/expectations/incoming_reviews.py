"""The check of a batch of new reviews: the rules of `raw_reviews`, some of them stricter, and three of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from minigpt_pipeline.expectations.raw_reviews import MARKUP, make_row_rule, make_rule, rest_of
from minigpt_pipeline.expectations.review_check import FurtherRules, ReviewCheck, check_batch
from minigpt_pipeline.parameters import IncomingParameters, ValidationParameters
from minigpt_pipeline.text.imdb import LABELS
from minigpt_pipeline.text.known_texts import KnownTexts
from minigpt_pipeline.text.language import UNDECIDED, find_languages

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

    from minigpt_pipeline.expectations.outcome import Severity

SEVERITIES: dict[str, Severity] = {"markup_is_rare": "critical", "labels_are_balanced": "warning"}
"""Of rules of `raw_reviews`, where they are another one in a batch: somebody may collect good reviews alone."""


def check_incoming_reviews(
    reviews: pd.DataFrame, incoming: IncomingParameters, validation: ValidationParameters, known: KnownTexts
) -> ReviewCheck:
    """Check new reviews against every expectation that their columns allow.

    Args:
        reviews: None of them known; with the columns of `raw_reviews`.
        incoming: The bounds.
        validation: Bounds of lengths and of labels.
        known: What they come to: with them the labels must be as `validation` expects them of all reviews.
    """
    rules, columns = [], reviews[["text"]].reset_index(drop=True)
    if incoming.max_markup_share is not None:
        rules.append(_no_markup())
    if incoming.language is not None:
        columns["language"] = find_languages(
            columns["text"], incoming.min_language_confidence, incoming.language
        )
        rules += _one_language(incoming.language, incoming.max_other_language_share)
    is_labelled = reviews["label"].isin(LABELS)
    if known.num_labelled and is_labelled.any():
        num_positive = known.num_positive + (reviews["label"] == LABELS[1]).sum()
        columns["positive_share_of_all"] = num_positive / (known.num_labelled + is_labelled.sum())
        rules.append(_balance_of_all(validation))
    return check_batch(reviews, incoming.bounds(validation), FurtherRules(columns, tuple(rules), SEVERITIES))


def _no_markup() -> Expectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToNotMatchRegex(
        column="text",
        regex=MARKUP,
        **make_row_rule(
            "text_has_no_markup", "markup", "No text has a tag other than the line break <br />."
        ),
    )


def _one_language(language: str, max_other_share: float) -> list[Expectation]:
    import great_expectations.expectations as gxe

    allowed = [language, UNDECIDED]
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="language",
            value_set=allowed,
            **make_row_rule(
                "text_is_in_language", "other_language", f"Each text is in the language {language}."
            ),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="language",
            value_set=allowed,
            mostly=rest_of(max_other_share),
            **make_rule(
                "other_languages_are_rare",
                "critical",
                f"At most {max_other_share:.2%} of the texts are in another language than {language}.",
            ),
        ),
    ]


def _balance_of_all(validation: ValidationParameters) -> Expectation:
    """Critical: `validation` would refuse all reviews together, and every run after this one."""
    import great_expectations.expectations as gxe

    low, high = validation.min_positive_share, validation.max_positive_share
    return gxe.ExpectColumnMeanToBeBetween(
        column="positive_share_of_all",
        min_value=low,
        max_value=high,
        **make_rule(
            "all_labels_stay_balanced",
            "critical",
            f"With this batch between {low:.0%} and {high:.0%} of all labelled reviews are positive.",
        ),
    )
