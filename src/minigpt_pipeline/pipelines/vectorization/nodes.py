"""From the text of reviews to token ids."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.parameters import VectorizationParameters
from minigpt_pipeline.text.film_split import PARTS, assign_parts
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.vocabulary import Vocabulary, build_vocabulary


def split_reviews(reviews: pd.DataFrame, vectorization: VectorizationParameters) -> pa.Table:
    """Split reviews into words, and their films into parts.

    Args:
        reviews: Columns `review_id`, `movie_id`, `text`.
        vectorization: Supplies the shares of the films.

    Returns:
        Columns `review_id`, `part` (`train`, `validation` or `test`; all reviews of a film in one) and `words`
        (list of strings).
    """
    return pa.table(
        {
            "review_id": pa.array(reviews["review_id"], pa.string()),
            "part": pa.array(assign_parts(reviews, vectorization.split), pa.string()),
            "words": split_words(pa.array(reviews["text"], pa.string())),
        }
    )


def adapt_vocabulary(review_words: pa.Table, vectorization: VectorizationParameters) -> Vocabulary:
    """Take the most frequent words of the training films.

    Args:
        review_words: What `split_reviews` returns.
        vectorization: Supplies the vocabulary's size and the fewest words to make one from.

    Raises:
        ValueError: If the training films have fewer words than `min_words`.
    """
    words = review_words.filter(pc.equal(review_words["part"], "train"))["words"].combine_chunks()
    num_words = len(words.flatten())
    if num_words < vectorization.min_words:
        raise ValueError(
            f"The {len(words)} reviews of the training films have {num_words} words between them, "
            f"expected at least {vectorization.min_words}: ingest more reviews, "
            "or lower min_words in conf/base/parameters_vectorization.yml"
        )
    return build_vocabulary(words, vectorization.vocabulary_size)


def encode_reviews(review_words: pa.Table, vocabulary: Vocabulary) -> tuple[pa.Table, ...]:
    """Turn words into token ids, part by part.

    Args:
        review_words: What `split_reviews` returns.
        vocabulary: The words that have an id of their own.

    Returns:
        For `train`, `validation` and `test` a table with the columns `review_id` and `token_ids`: list of int32, all
        words of the review, 1 for a word outside the vocabulary.
    """
    token_ids = vocabulary.encode_lists(review_words["words"].combine_chunks())
    encoded = pa.table({"review_id": review_words["review_id"], "token_ids": token_ids})
    return tuple(encoded.filter(pc.equal(review_words["part"], part)) for part in PARTS)
