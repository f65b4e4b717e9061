import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.parameters import SplitParameters
from minigpt_pipeline.text.film_split import assign_part, assign_parts

SHARES = SplitParameters(train=0.9, validation=0.05, test=0.05)


def test_assign_part_gives_each_part_its_share() -> None:
    parts = pd.Series([assign_part(f"tt{number:07}", SHARES) for number in range(20_000)])

    shares = parts.value_counts(normalize=True)

    assert shares["train"] == pytest.approx(0.9, abs=0.01)
    assert shares["validation"] == pytest.approx(0.05, abs=0.005)
    assert shares["test"] == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(
    ("film", "part"), [("tt0064354", "train"), ("tt0000004", "validation"), ("tt0000019", "test")]
)
def test_assign_part_never_moves_a_film(film: str, part: str) -> None:
    assert assign_part(film, SHARES) == part


def test_assign_parts_keeps_a_film_together(reviews: pd.DataFrame) -> None:
    even = SplitParameters(train=0.4, validation=0.3, test=0.3)

    parts = pd.Series(assign_parts(pa.RecordBatch.from_pandas(reviews), even).to_pylist())

    assert parts.groupby(reviews["movie_id"]).nunique().eq(1).all()
    assert set(parts) == {"train", "validation", "test"}


def test_assign_parts_takes_the_text_where_there_is_no_film(reviews: pd.DataFrame) -> None:
    reviews.loc[1:, "movie_id"] = None
    for some in (reviews, reviews.assign(movie_id=None)):
        films = some["movie_id"].fillna(reviews["text"])

        parts = assign_parts(pa.RecordBatch.from_pandas(some), SHARES)

        assert parts.to_pylist() == [assign_part(film, SHARES) for film in films]


@pytest.mark.parametrize("batch", ["", "new/0a1b/"])
def test_unlabelled_reviews_only_train_and_never_on_a_film_that_measures(
    batch: str, reviews: pd.DataFrame
) -> None:
    even = SplitParameters(train=0.4, validation=0.3, test=0.3)
    unlabelled = reviews.assign(review_id=[f"{batch}train/unsup/{number}" for number in range(len(reviews))])
    labelled = assign_parts(pa.RecordBatch.from_pandas(reviews), even).to_pylist()

    parts = assign_parts(pa.RecordBatch.from_pandas(unlabelled), even).to_pylist()

    assert parts == [part if part == "train" else None for part in labelled]
    assert set(parts) == {"train", None}
