"""A good batch of reviews, and bounds that it keeps."""

from collections.abc import Callable

import pandas as pd
import pytest

from minigpt_pipeline.parameters import ValidationParameters

NUM_REVIEWS = 20
FILMS = ("western", "comedy", "thriller", "musical", "drama")


@pytest.fixture
def bounds() -> ValidationParameters:
    return ValidationParameters(
        min_reviews=10,
        min_text_length=10,
        max_text_length=200,
        max_rejected_share=0.5,
        max_duplicate_share=0.2,
        min_positive_share=0.4,
        max_positive_share=0.6,
        max_non_ascii_share=0.2,
        max_markup_share=0.2,
    )


@pytest.fixture
def batch() -> pd.DataFrame:
    """Ten bad reviews and ten good ones, all different, in the order of their ids."""
    return write_batch(NUM_REVIEWS)


@pytest.fixture
def make_batch() -> Callable[[int], pd.DataFrame]:
    """Make a batch like the other, of another size."""
    return write_batch


def write_batch(num_reviews: int) -> pd.DataFrame:
    rows = []
    for number in range(num_reviews):
        is_good = number >= num_reviews // 2
        label, rating, word = ("pos", 8, "fine") if is_good else ("neg", 2, "dull")
        text = f"A {word} {FILMS[number % len(FILMS)]}.<br />Number {number} of the year."
        rows.append((f"train/{label}/{number:03}", "train", label, rating, f"tt{number:07}", text))
    reviews = pd.DataFrame(rows, columns=["review_id", "split", "label", "rating", "movie_id", "text"])
    return reviews.astype({"rating": "Int8"})
