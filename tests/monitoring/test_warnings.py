import pytest

from minigpt_pipeline.monitoring.warnings import ALL, CHECKS, find_warnings
from minigpt_pipeline.parameters import ServedBounds

BOUNDS = ServedBounds(
    max_error_share=0.01, max_overloaded_share=0.05, max_waited_p95=2.0, max_first_token_p95=3.0, max_seconds_p95=30.0,
    max_unk_rate_rise=0.05, max_long_prompt_share=0.05, max_seq_rep_4_rise=0.05, max_distinct_2_fall=0.1,
)  # fmt: skip
CALM = {
    "error_share": 0.01, "overloaded_share": 0.05, "waited_p95": 2.0, "first_token_p95": 3.0, "seconds_p95": 30.0,
    "unk_rate": 0.07, "training_unk_rate": 0.03, "long_prompt_share": 0.05, "seq_rep_4": 0.05,
    "training_seq_rep_4": 0.01, "distinct_2": 0.9, "training_distinct_2": 0.97,
}  # fmt: skip


def test_no_figure_within_its_bound_is_told() -> None:
    assert find_warnings({ALL: CALM, "3": CALM, "4": CALM}, BOUNDS) == []


@pytest.mark.parametrize(
    ("figure", "value", "found", "end"),
    [
        ("error_share", 0.02, 0.02, "is 2.00%, expected at most 1.00%"),
        ("overloaded_share", 0.06, 0.06, "is 6.00%, expected at most 5.00%"),
        ("waited_p95", 2.5, 2.5, "for more than 2.50 s, expected at most 2.00 s"),
        ("first_token_p95", 3.5, 3.5, "more than 3.50 s, expected at most 3.00 s"),
        ("seconds_p95", 31.0, 31.0, "more than 31.0 s, expected at most 30.0 s"),
        ("unk_rate", 0.09, 0.06, "above that of training reviews by 6.00%, expected at most 5.00%"),
        ("long_prompt_share", 0.1, 0.1, "is 10.00%, expected at most 5.00%"),
        ("seq_rep_4", 0.11, 0.1, "above that of training reviews by 10.00%, expected at most 5.00%"),
        ("distinct_2", 0.8, 0.17, "below that of training reviews by 17.00%, expected at most 10.00%"),
    ],
)
def test_a_figure_beyond_its_bound_is_told_with_what_to_do(
    figure: str, value: float, found: float, end: str
) -> None:
    (warning,) = find_warnings({ALL: CALM | {figure: value}, "3": CALM}, BOUNDS)

    assert (warning["scope"], warning["figure"]) == (ALL, figure)
    assert warning["value"] == pytest.approx(found)
    assert warning["text"].endswith(end)
    assert warning["next_step"]


def test_every_bound_has_its_check() -> None:
    assert {check.bound for check in CHECKS} == set(ServedBounds.model_fields)


def test_bounds_that_are_off_and_figures_that_are_not_there_say_nothing() -> None:
    off = ServedBounds(**dict.fromkeys(ServedBounds.model_fields))
    far = dict.fromkeys(CALM, 100.0)

    assert find_warnings({ALL: far}, off) == []
    assert find_warnings({ALL: {"unk_rate": 0.9, "requests": 5.0}}, BOUNDS) == []


def test_of_several_versions_each_is_told_and_an_only_one_is_not_told_twice() -> None:
    slow = CALM | {"seconds_p95": 40.0}

    assert [one["scope"] for one in find_warnings({ALL: slow, "3": slow}, BOUNDS)] == [ALL]
    (warning,) = find_warnings({ALL: CALM, "3": CALM, "4": slow}, BOUNDS)
    assert warning["text"].startswith("version 4: one text in twenty took more than 40.0 s")
