import logging

import pandas as pd
import pytest

from minigpt_pipeline.expectations.report import ReviewsRefusedError
from minigpt_pipeline.parameters import ValidationParameters
from minigpt_pipeline.pipelines.validation.nodes import accept_reviews, check_reviews


@pytest.fixture
def bounds() -> ValidationParameters:
    return ValidationParameters(
        min_reviews=6,
        min_text_length=5,
        max_text_length=500,
        max_rejected_share=0.2,
        max_duplicate_share=0.2,
        min_positive_share=0.4,
        max_positive_share=0.6,
        max_non_ascii_share=0.1,
        max_markup_share=0.1,
    )


def test_check_reviews_keeps_good_reviews(reviews: pd.DataFrame, bounds: ValidationParameters) -> None:
    checked, rejected, report, page, data_docs = check_reviews(reviews, bounds)
    pd.testing.assert_frame_equal(checked, reviews)
    assert rejected.columns.tolist() == [*reviews.columns, "reason"]
    assert report["reviews"] == {"read": 6, "kept": 6, "rejected": 0, "rejected_by_reason": {}}
    assert "Validation of 6 reviews" in page
    assert "index.html" in data_docs


def test_check_reviews_rejects_a_bad_review_with_its_reason(
    reviews: pd.DataFrame, bounds: ValidationParameters, caplog: pytest.LogCaptureFixture
) -> None:
    reviews.loc[3, "text"] = reviews.loc[0, "text"]
    with caplog.at_level(logging.INFO):
        checked, rejected, report, *_ = check_reviews(reviews, bounds)
    assert rejected[["review_id", "reason"]].to_numpy().tolist() == [["train/pos/3", "duplicate"]]
    assert len(checked) == 5
    assert report["accepted"]
    assert caplog.messages == ["Checking 6 reviews", "6 reviews read, 5 kept, rejected: 1 duplicate"]


def test_check_reviews_warns_of_what_stops_nothing(
    reviews: pd.DataFrame, bounds: ValidationParameters, caplog: pytest.LogCaptureFixture
) -> None:
    reviews.loc[3, "text"] = "Très bien."
    check_reviews(reviews, bounds)
    (message,) = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert message.startswith(
        "Expectation non_ascii_is_rare: At most 10.00% of the texts have a character outside ASCII"
    )
    assert "train/pos/3" in message


def test_check_reviews_sorts_by_review_id(reviews: pd.DataFrame, bounds: ValidationParameters) -> None:
    checked, *_ = check_reviews(reviews.iloc[::-1], bounds)
    pd.testing.assert_frame_equal(checked, reviews)


def test_accept_reviews_stops_with_the_broken_rule(
    reviews: pd.DataFrame, bounds: ValidationParameters
) -> None:
    checked, _, report, *_ = check_reviews(reviews.head(5), bounds)
    with pytest.raises(
        ReviewsRefusedError, match=r"reviews_are_enough: There are at least 6 reviews\. Found: 5\."
    ):
        accept_reviews(checked, report)


def test_accept_reviews_hands_on_the_same_reviews(reviews: pd.DataFrame) -> None:
    assert accept_reviews(reviews, {"accepted": True}) is reviews
