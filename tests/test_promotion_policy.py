"""The truth table of promotion, row by row."""

import math
import re
from typing import Any

import pytest

from minigpt_pipeline.parameters import PromotionParameters
from minigpt_pipeline.promotion_policy import Difference, Incumbent, Measured, Outcome, decide

FLOORS = PromotionParameters(
    margin=0.0, max_perplexity=100.0, max_unk_rate=0.05, max_seq_rep_4=0.02, max_megabytes=None,
    max_seconds_per_text=5.0, num_texts=200, batch_size=64, seed=0,
)  # fmt: skip
FIGURES = {
    "perplexity": 50.0,
    "unk_rate": 0.02,
    "seq_rep_4": 0.003,
    "megabytes": 50.0,
    "seconds_per_text": 0.1,
}

CANDIDATE = Measured("3", figures=FIGURES)
BETTER, WORSE = Difference(-0.05, -0.07, -0.03), Difference(0.05, 0.03, 0.07)
EQUAL, NOISE = Difference(0.0, 0.0, 0.0), Difference(-0.01, -0.03, 0.01)
NOT_A_NUMBER = Difference(math.nan, math.nan, math.nan)
CORRUPT = Measured("2", problem="its files are corrupt")


def champion(difference: Difference | None = None, **changed: Any) -> Incumbent:
    return Incumbent(Measured("2", figures=FIGURES), difference=difference, **changed)


def previous(difference: Difference) -> Incumbent:
    return Incumbent(Measured("1", figures=FIGURES), in_use=False, difference=difference)


def broken(**figures: float) -> Measured:
    return Measured("3", figures=FIGURES | figures)


NOT_LOADABLE = Measured("3", problem="a fresh process can't load it: no weights")

SETTLED = Measured("3", settled="it was promoted on 2026-11-26")


@pytest.mark.parametrize(
    ("candidate", "incumbents", "outcome", "in_use", "reason"),
    [
        pytest.param(CANDIDATE, [champion(BETTER)], "promoted", "3", "3 is better than version 2: -0.05", id="better"),
        pytest.param(CANDIDATE, [champion(EQUAL)], "kept", "2", "no better than noise to version 2", id="equal"),
        pytest.param(CANDIDATE, [champion(WORSE)], "kept", "2", "3 is worse than version 2: .0.05", id="worse"),
        pytest.param(CANDIDATE, [champion(NOISE)], "kept", "2", "no better than noise", id="within noise"),
        pytest.param(CANDIDATE, [], "promoted", "3", "there is no other model", id="first"),
        pytest.param(broken(perplexity=101.0), [], "vacant", None, "perplexity of version 3 is 101, at most 100",
                     id="first, under a floor"),
        pytest.param(broken(seq_rep_4=0.03), [champion(BETTER)], "kept", "2", r"seq_rep_4 .* 0\.03.*max_seq_rep_4",
                     id="under a floor"),
        pytest.param(broken(unk_rate=math.nan), [champion(BETTER)], "kept", "2", "unk_rate of version 3 is no number",
                     id="a figure that is NaN"),
        pytest.param(Measured("3"), [champion(BETTER)], "kept", "2", "perplexity of version 3 was not measured",
                     id="a figure that is not there"),
        pytest.param(CANDIDATE, [champion(NOT_A_NUMBER)], "kept", "2", "version 2 is no number", id="NaN"),
        pytest.param(NOT_LOADABLE, [champion(BETTER)], "kept", "2", "3 can't be used: a fresh", id="not loadable"),
        pytest.param(NOT_LOADABLE, [], "vacant", None, "can't be used", id="first, not loadable"),
        pytest.param(CANDIDATE, [champion(incomparable="no unknown words")], "kept", "2",
                     "can't be compared with version 2: no unknown words", id="different vocabulary, no characters"),
        pytest.param(CANDIDATE, [champion(Difference(-0.03, -0.05, -0.01, "bits per character"))], "promoted", "3",
                     r"-0\.0300 bits per character", id="different vocabulary"),
        pytest.param(CANDIDATE, [Incumbent(CORRUPT)], "promoted", "3", "there is no other model",
                     id="champion corrupt, and no other"),
        pytest.param(CANDIDATE, [Incumbent(CORRUPT), previous(BETTER)], "promoted", "3", "better than version 1",
                     id="champion corrupt, better than the one before"),
        pytest.param(CANDIDATE, [Incumbent(CORRUPT), previous(NOISE)], "restored", "1", "noise to version 1",
                     id="champion corrupt, no better than the one before"),
        pytest.param(NOT_LOADABLE, [Incumbent(CORRUPT), previous(BETTER)], "restored", "1", "3 can't be used",
                     id="champion corrupt, candidate too"),
        pytest.param(NOT_LOADABLE, [Incumbent(CORRUPT)], "vacant", None, "3 can't be used", id="all corrupt"),
        pytest.param(CANDIDATE, [previous(BETTER)], "promoted", "3", "better than version 1",
                     id="champion gone, better than the one before"),
        pytest.param(CANDIDATE, [previous(NOISE)], "restored", "1", "noise to version 1",
                     id="champion gone, no better than the one before"),
        pytest.param(SETTLED, [champion(BETTER)], "kept", "2", "3 is not decided on again: it was promoted",
                     id="decided on before"),
        pytest.param(SETTLED, [Incumbent(CORRUPT), previous(BETTER)], "restored", "1", "not decided on again",
                     id="decided on before, champion corrupt"),
        pytest.param(SETTLED, [], "vacant", None, "not decided on again", id="decided on before, and no other"),
    ],
)  # fmt: skip
def test_each_row_of_the_truth_table(
    candidate: Measured, incumbents: list[Incumbent], outcome: str, in_use: str | None, reason: str
) -> None:
    decision = decide(candidate, incumbents, FLOORS)

    assert (decision.outcome, decision.champion) == (outcome, in_use)
    assert any(re.search(reason, said) for said in decision.reasons), decision.reasons
    told = "Version 2 can't be used: its files are corrupt" in decision.reasons
    assert told == any(one.model is CORRUPT for one in incumbents)


def test_every_floor_that_is_not_kept_is_named_and_those_that_are_off_are_not() -> None:
    candidate = broken(perplexity=1e9, unk_rate=1.0, seq_rep_4=1.0, megabytes=1e9, seconds_per_text=1e9)

    reasons = decide(candidate, [champion(BETTER)], FLOORS).reasons

    assert [reason.split()[0] for reason in reasons] == [
        "perplexity",
        "unk_rate",
        "seq_rep_4",
        "seconds_per_text",
    ]


@pytest.mark.parametrize(
    ("margin", "outcome"), [(0.0, "promoted"), (0.029, "promoted"), (0.03, "kept"), (0.1, "kept")]
)
def test_the_whole_interval_lies_beyond_the_margin(margin: float, outcome: str) -> None:
    floors = FLOORS.model_copy(update={"margin": margin})

    assert decide(CANDIDATE, [champion(BETTER)], floors).outcome == outcome


def test_limits_are_kept_at_their_value() -> None:
    at_limits = broken(**FLOORS.limits())

    assert decide(at_limits, [champion(BETTER)], FLOORS).outcome is Outcome.PROMOTED
