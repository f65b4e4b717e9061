import pandas as pd
import pytest

from minigpt_pipeline.expectations.clean_reviews import CleanReviewsValidator


def refuse(reviews: pd.DataFrame, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        CleanReviewsValidator().validate(reviews)


def test_validate_returns_good_reviews_unchanged(batch: pd.DataFrame) -> None:
    assert CleanReviewsValidator().validate(batch) is batch


def test_validate_takes_plain_text(batch: pd.DataFrame) -> None:
    plain = batch.assign(label=None, rating=None, movie_id=None)
    assert CleanReviewsValidator().validate(plain) is plain


def test_validate_refuses_a_missing_column(batch: pd.DataFrame) -> None:
    refuse(
        batch.drop(columns="movie_id"), r"has the columns \['review_id'.*expected \['review_id'.*'movie_id'"
    )


def test_validate_refuses_another_order_of_columns(batch: pd.DataFrame) -> None:
    refuse(batch[batch.columns[::-1]], r"has the columns \['text'")


def test_validate_refuses_another_type(batch: pd.DataFrame) -> None:
    refuse(batch.astype({"rating": "int64"}), "rating of reviews is of type int64: expected Int8")
    refuse(batch.astype({"text": "object"}), "text of reviews is of type object: expected str")


def test_validate_refuses_a_table_without_rows(batch: pd.DataFrame) -> None:
    refuse(batch.head(0), "no row: expected at least one")


@pytest.mark.parametrize("column", ["review_id", "split", "text"])
def test_validate_refuses_a_null(column: str, batch: pd.DataFrame) -> None:
    batch.loc[7, column] = None
    refuse(batch, f"1 of 20 reviews have no {column}")


@pytest.mark.parametrize("column", ["review_id", "text"])
def test_validate_refuses_a_repetition_and_names_it(column: str, batch: pd.DataFrame) -> None:
    batch.loc[8, column] = batch.loc[7, column]
    refuse(
        batch,
        rf"1 of 20 reviews repeat the {column} of an earlier row \(first: {batch.loc[8, 'review_id']}\)",
    )


def test_validate_refuses_another_order_of_rows(batch: pd.DataFrame) -> None:
    refuse(
        batch.iloc[[0, 2, 1, *range(3, 20)]],
        "1 of 20 reviews come before the review above them.*train/neg/001",
    )


def test_validate_names_no_more_than_five(batch: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="20 of 20 reviews have no text") as caught:
        CleanReviewsValidator().validate(batch.assign(text=pd.Series([None] * 20, dtype="str")))
    assert str(caught.value).count("train/") == 5
