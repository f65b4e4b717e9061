import itertools
import logging

import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import RetrainingParameters, VectorizationParameters
from minigpt_pipeline.pipelines.vectorization.nodes import choose_tokenizer, encode_reviews, train_tokenizer
from minigpt_pipeline.text.film_split import assign_part
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.token_tables import check_tokens
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

KEPT = WordTokenizer(Vocabulary(("", "[UNK]", "champion")))
KEEPING, REFRESHING = (
    RetrainingParameters(refresh_vocabulary=refresh, warm_start=False) for refresh in (False, True)
)


def find_films(part: str, vectorization: VectorizationParameters) -> list[str]:
    films = [f"tt{number:07}" for number in range(1, 4)]
    return [film for film in films if assign_part(film, vectorization.split) == part]


def test_train_tokenizer_sees_training_films_only(vectorization: VectorizationParameters) -> None:
    films = [find_films(part, vectorization)[0] for part in ("train", "validation", "test")]
    texts = ["seen " * 5, "steered " * 9, "held out"]

    tokenizer = train_tokenizer([pa.record_batch({"movie_id": films, "text": texts})], vectorization)

    assert tokenizer.vocabulary.words == ("", "[UNK]", "seen")


@pytest.mark.parametrize("kind", ["word", "subword"])
def test_train_tokenizer_learns_capitals_from_training_films_only(
    vectorization: VectorizationParameters, kind: str
) -> None:
    films = [find_films(part, vectorization)[0] for part in ("train", "validation", "test")]
    texts = [
        "we saw Hanks and Miller " * 3,
        "we steered Nolan and miller " * 9,
        "we held Orson and miller " * 9,
    ]
    how = vectorization.model_copy(update={"tokenizer": kind, "vocabulary_size": 300})

    tokenizer = train_tokenizer([pa.record_batch({"movie_id": films, "text": texts})], how)

    assert tokenizer.kind == kind
    assert tokenizer.casing == {"hanks": "Hanks", "miller": "Miller"}


def test_train_tokenizer_refuses_too_few_words(
    pieces: list[pa.RecordBatch], reviews: pd.DataFrame, vectorization: VectorizationParameters
) -> None:
    texts = reviews.loc[reviews["movie_id"].isin(find_films("train", vectorization)), "text"]
    num_words = sum(len(to_words(text)) for text in texts)
    demanding = vectorization.model_copy(update={"min_words": num_words + 1})

    train_tokenizer(pieces, vectorization.model_copy(update={"min_words": num_words}))
    with pytest.raises(
        ValueError,
        match=rf"The {len(texts)} reviews .* have {num_words} words between them, "
        rf"expected at least {num_words + 1}: .*lower min_words",
    ):
        train_tokenizer(pieces, demanding)


def test_train_tokenizer_says_so_when_no_film_trains(vectorization: VectorizationParameters) -> None:
    film = find_films("test", vectorization)[0]

    with pytest.raises(ValueError, match="The 0 reviews of the training films have 0 words"):
        train_tokenizer([pa.record_batch({"movie_id": [film], "text": ["Held out."]})], vectorization)


@pytest.mark.parametrize(
    ("has_champion", "retraining", "is_kept"),
    [(True, KEEPING, True), (True, REFRESHING, False), (False, KEEPING, False)],
)
def test_choose_tokenizer_keeps_that_of_the_champion_unless_a_new_one_is_asked_for(
    pieces: list[pa.RecordBatch],
    vectorization: VectorizationParameters,
    has_champion: bool,
    retraining: RetrainingParameters,
    is_kept: bool,
) -> None:
    champion = TrainedModel({}, KEPT, {}) if has_champion else None

    chosen = choose_tokenizer(pieces, champion, vectorization, retraining)

    assert chosen == (KEPT if is_kept else train_tokenizer(pieces, vectorization))


@pytest.mark.parametrize(
    "asked", [{"tokenizer": "subword", "vocabulary_size": 300}, {"vocabulary_size": 2}, {}]
)
def test_choose_tokenizer_warns_of_what_keeping_passes_over(
    pieces: list[pa.RecordBatch],
    vectorization: VectorizationParameters,
    asked: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        choose_tokenizer(pieces, TrainedModel({}, KEPT, {}), vectorization.model_copy(update=asked), KEEPING)

    (record,) = caplog.records
    assert (record.levelname == "WARNING") is bool(asked)
    assert "word, 3 tokens" in record.message


def test_encode_reviews_gives_all_reviews_of_a_film_to_one_part(
    pieces: list[pa.RecordBatch], reviews: pd.DataFrame, vectorization: VectorizationParameters
) -> None:
    tokenizer = train_tokenizer(pieces, vectorization)
    film_of = reviews.set_index("review_id")["movie_id"]

    parts = encode_reviews(pieces, tokenizer, vectorization)

    review_ids = [part["review_id"].to_pylist() for part in parts]
    assert sorted(itertools.chain(*review_ids)) == reviews["review_id"].tolist()
    films = [film_of[ids].unique().tolist() for ids in review_ids]
    assert films == [find_films(part, vectorization) for part in ("train", "validation", "test")]


def test_encode_reviews_keeps_all_words_and_marks_unknown_ones(
    pieces: list[pa.RecordBatch], reviews: pd.DataFrame, vectorization: VectorizationParameters
) -> None:
    tokenizer = train_tokenizer(pieces, vectorization)
    words = {review_id: to_words(text) for review_id, text in reviews[["review_id", "text"]].to_numpy()}

    for part in encode_reviews(pieces, tokenizer, vectorization):
        for review in part.to_pylist():
            decoded = tokenizer.decode(review["token_ids"]).split(" ")
            expected = words[review["review_id"]]
            assert decoded == [word if word in tokenizer.vocabulary.words else "[UNK]" for word in expected]


def test_encode_reviews_says_whose_ids_they_are(
    pieces: list[pa.RecordBatch], vectorization: VectorizationParameters
) -> None:
    words = train_tokenizer(pieces, vectorization)
    subwords = train_tokenizer(pieces, vectorization.model_copy(update={"tokenizer": "subword"}))

    for part in encode_reviews(pieces, words, vectorization):
        check_tokens(part, words)
        with pytest.raises(ValueError, match="make them again"):
            check_tokens(part, subwords)


def test_encode_reviews_keeps_the_ratings(
    pieces: list[pa.RecordBatch], reviews: pd.DataFrame, vectorization: VectorizationParameters
) -> None:
    tokenizer = train_tokenizer(pieces, vectorization)

    parts = pa.concat_tables(encode_reviews(pieces, tokenizer, vectorization))

    ratings = dict(zip(parts["review_id"].to_pylist(), parts["rating"].to_pylist(), strict=True))
    assert ratings == dict(zip(reviews["review_id"], reviews["rating"], strict=True))


def test_the_pieces_make_no_difference(reviews: pd.DataFrame, vectorization: VectorizationParameters) -> None:
    made = []
    for max_chunksize in (1, 4, 6):
        pieces = pa.Table.from_pandas(reviews).to_batches(max_chunksize)
        tokenizer = train_tokenizer(pieces, vectorization)
        made.append((tokenizer, *encode_reviews(pieces, tokenizer, vectorization)))

    assert made[0] == made[1] == made[2]


def test_unlabelled_reviews_add_to_the_training_part_alone(
    pieces: list[pa.RecordBatch], reviews: pd.DataFrame, vectorization: VectorizationParameters
) -> None:
    unlabelled = reviews.assign(
        review_id=[f"train/unsup/{number}" for number in range(len(reviews))], label=None, rating=None
    ).astype({"label": "str", "rating": "Int8"})
    more = [*pieces, *pa.Table.from_pandas(unlabelled, schema=pieces[0].schema).to_batches()]
    tokenizer = train_tokenizer(pieces, vectorization)

    train, *measuring = encode_reviews(more, tokenizer, vectorization)

    labelled = encode_reviews(pieces, tokenizer, vectorization)
    assert measuring == list(labelled[1:])
    added = train.slice(len(labelled[0]))
    assert added["token_ids"] == labelled[0]["token_ids"]
    assert added["rating"].null_count == len(added) > 0
