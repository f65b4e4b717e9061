import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.parameters import SplitParameters, VectorizationParameters
from minigpt_pipeline.pipelines.vectorization.nodes import adapt_vocabulary, encode_reviews, split_reviews

# These shares send the three films of the fixture to three parts.
VECTORIZATION = VectorizationParameters(
    vocabulary_size=20, min_words=5, split=SplitParameters(train=0.4, validation=0.3, test=0.3)
)


@pytest.fixture
def review_words(reviews: pd.DataFrame) -> pa.Table:
    return split_reviews(reviews, VECTORIZATION)


def test_split_reviews_keeps_every_review(reviews: pd.DataFrame, review_words: pa.Table) -> None:
    assert review_words["review_id"].to_pylist() == reviews["review_id"].tolist()
    assert review_words["words"][4].as_py() == ["the", "best", "scene", "comes", "last", "."]


def test_split_reviews_leaves_its_input_unchanged(reviews: pd.DataFrame) -> None:
    before = reviews.copy()

    split_reviews(reviews, VECTORIZATION)

    pd.testing.assert_frame_equal(reviews, before)


def test_adapt_vocabulary_sees_training_films_only() -> None:
    review_words = pa.table(
        {
            "review_id": ["a", "b", "c"],
            "part": ["train", "validation", "test"],
            "words": [["seen"] * 5, ["steered"] * 9, ["held", "out"]],
        }
    )

    assert adapt_vocabulary(review_words, VECTORIZATION).words == ("", "[UNK]", "seen")


def test_adapt_vocabulary_refuses_too_few_words(review_words: pa.Table) -> None:
    demanding = VECTORIZATION.model_copy(update={"min_words": 1000})

    with pytest.raises(
        ValueError, match=r"have \d+ words between them, expected at least 1000: .*lower min_words"
    ):
        adapt_vocabulary(review_words, demanding)


def test_encode_reviews_gives_each_review_to_one_part(review_words: pa.Table) -> None:
    vocabulary = adapt_vocabulary(review_words, VECTORIZATION)

    parts = encode_reviews(review_words, vocabulary)

    review_ids = [review_id for part in parts for review_id in part["review_id"].to_pylist()]
    assert sorted(review_ids) == review_words["review_id"].to_pylist()
    assert all(len(part) for part in parts)


def test_encode_reviews_keeps_all_words_and_marks_unknown_ones(review_words: pa.Table) -> None:
    vocabulary = adapt_vocabulary(review_words, VECTORIZATION)
    words = dict(zip(review_words["review_id"].to_pylist(), review_words["words"].to_pylist(), strict=True))

    for part in encode_reviews(review_words, vocabulary):
        for review_id, token_ids in zip(*part.to_pydict().values(), strict=True):
            decoded = vocabulary.decode(token_ids)
            assert decoded == [word if word in vocabulary.words else "[UNK]" for word in words[review_id]]
