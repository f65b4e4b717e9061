"""Which figures of served texts are beyond their bounds, and what to do about each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from minigpt_pipeline.parameters import ServedBounds

ALL = "all"
"""Not one version, but what was served of all."""


@dataclass(frozen=True)
class Check:
    """A figure that has a bound.

    Args:
        figure: Its name.
        bound: Field of `ServedBounds`.
        meaning: How a sentence on it begins.
        form: How it is written.
        next_step: What to do.
        sign: 1 where the figure itself is bound, or its rise over that of training reviews; -1 where its fall is.
        is_apart: Whether its distance to that of training reviews is meant.
    """

    figure: str
    bound: str
    meaning: str
    form: str
    next_step: str
    sign: int = 1
    is_apart: bool = False


CHECKS = (
    Check(
        "error_share",
        "max_error_share",
        "the share of requests that the server failed is",
        "{:.2%}",
        "the server's own log says why, in the lines of these requests",
    ),
    Check(
        "overloaded_share",
        "max_overloaded_share",
        "the share of requests that found no room is",
        "{:.2%}",
        "let clients wait for Retry-After, or give the server more slots or another machine",
    ),
    Check(
        "waited_p95",
        "max_waited_p95",
        "one text in twenty waited for a slot for more than",
        "{:.2f} s",
        "give the server more slots, or lower max_new_tokens",
    ),
    Check(
        "first_token_p95",
        "max_first_token_p95",
        "one text in twenty had no token for more than",
        "{:.2f} s",
        "look at what else works on the machine, and at the time texts wait for a slot",
    ),
    Check(
        "seconds_p95",
        "max_seconds_p95",
        "one text in twenty took more than",
        "{:.1f} s",
        "look at the tokens of a text and at tokens per second: lower max_new_tokens, or use a faster machine",
    ),
    Check(
        "unk_rate",
        "max_unk_rate_rise",
        "the share of [UNK] in prompts is above that of training reviews by",
        "{:.2%}",
        "look at prompts (log.texts: true): train on texts with their words, with a larger vocabulary_size, or with "
        "vectorization.tokenizer=subword",
        is_apart=True,
    ),
    Check(
        "long_prompt_share",
        "max_long_prompt_share",
        "the share of prompts longer than the context is",
        "{:.2%}",
        "lower the server's limit on prompts, or train with a larger model.sequence_length",
    ),
    Check(
        "seq_rep_4",
        "max_seq_rep_4_rise",
        "the share of 4-grams that texts repeat is above that of training reviews by",
        "{:.2%}",
        "look at the sampling that clients ask for (a low temperature repeats), then at the model: `make rollback` "
        "puts the one before in use",
        is_apart=True,
    ),
    Check(
        "distinct_2",
        "max_distinct_2_fall",
        "the share of distinct 2-grams is below that of training reviews by",
        "{:.2%}",
        "as for repeated 4-grams: look at the sampling, then at the model",
        sign=-1,
        is_apart=True,
    ),
)


def find_warnings(scopes: Mapping[str, Mapping[str, float]], bounds: ServedBounds) -> list[dict[str, Any]]:
    """Say which figures are beyond their bounds.

    Args:
        scopes: Figures of `ALL`, and of each version; those of training reviews as `training_...`.
        bounds: How far they may be.

    Returns:
        `scope`, `figure`, `value`, `bound`, `text` and `next_step` of each, those of all versions first. A version is
        not told of where it is the only one.
    """
    told = {ALL} if len(scopes) <= 2 else scopes.keys()  # noqa: PLR2004 -- all, and the one version
    return [
        warning
        for scope, figures in scopes.items()
        if scope in told
        for warning in _check(scope, figures, bounds)
    ]


def _check(scope: str, figures: Mapping[str, float], bounds: ServedBounds) -> Iterator[dict[str, Any]]:
    for check in CHECKS:
        bound, value = getattr(bounds, check.bound), figures.get(check.figure)
        if check.is_apart and value is not None:
            beside = figures.get(f"training_{check.figure}")
            value = None if beside is None else check.sign * (value - beside)
        if bound is None or value is None or value <= bound:
            continue
        whose = "" if scope == ALL else f"version {scope}: "
        yield {
            "scope": scope,
            "figure": check.figure,
            "value": value,
            "bound": bound,
            "text": f"{whose}{check.meaning} {check.form.format(value)}, expected at most {check.form.format(bound)}",
            "next_step": check.next_step,
        }
