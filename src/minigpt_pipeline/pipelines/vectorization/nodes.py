"""From the text of reviews to token ids, a piece of the reviews at a time."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.parameters import VectorizationParameters
from minigpt_pipeline.text.film_split import PARTS, assign_parts
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.threads import map_in_order
from minigpt_pipeline.text.vocabulary import Vocabulary, choose_words, count_words


def adapt_vocabulary(reviews: Iterable[pa.RecordBatch], vectorization: VectorizationParameters) -> Vocabulary:
    """Take the most frequent words of the training films.

    Args:
        reviews: Columns `movie_id` and `text`.
        vectorization: Supplies the shares of the films, the vocabulary's size and the fewest words to make one from.

    Raises:
        ValueError: If the training films have fewer words than `min_words`.
    """

    def count(piece: pa.RecordBatch) -> tuple[int, pa.Table]:
        is_train = pc.equal(assign_parts(piece, vectorization.split), "train")
        return is_train.true_count, count_words(split_words(piece["text"].filter(is_train)))

    num_reviews, counts = zip(*map_in_order(count, reviews), strict=True)
    num_words = sum(pc.sum(table["count"], min_count=0).as_py() for table in counts)
    if num_words < vectorization.min_words:
        raise ValueError(
            f"The {sum(num_reviews)} reviews of the training films have {num_words} words between them, "
            f"expected at least {vectorization.min_words}: ingest more reviews, "
            "or lower min_words in conf/base/parameters_vectorization.yml"
        )
    return choose_words(counts, vectorization.vocabulary_size)


def encode_reviews(
    reviews: Iterable[pa.RecordBatch], vocabulary: Vocabulary, vectorization: VectorizationParameters
) -> tuple[pa.Table, ...]:
    """Turn words into token ids, part by part.

    The words are split a second time: that is faster than to keep those of all reviews, on a disk or in memory.

    Args:
        reviews: Columns `review_id`, `movie_id`, `rating` and `text`.
        vocabulary: The words that have an id of their own.
        vectorization: Supplies the shares of the films.

    Returns:
        For `train`, `validation` and `test` a table with the columns `review_id`, `rating` and `token_ids`: list of
        int32, all words of the review, 1 for a word outside the vocabulary. All reviews of a film are in one of them.
    """

    def encode(piece: pa.RecordBatch) -> list[pa.RecordBatch]:
        parts = assign_parts(piece, vectorization.split)
        token_ids = vocabulary.encode_lists(split_words(piece["text"]))
        encoded = pa.record_batch(
            {
                "review_id": piece["review_id"].cast(pa.string()),
                "rating": piece["rating"].cast(pa.int8()),
                "token_ids": token_ids,
            }
        )
        return [encoded.filter(pc.equal(parts, part)) for part in PARTS]

    return tuple(map(pa.Table.from_batches, zip(*map_in_order(encode, reviews), strict=True)))
