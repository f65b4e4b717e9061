"""From the text of reviews to token ids, a piece of the reviews at a time."""

import logging
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import RetrainingParameters, VectorizationParameters
from minigpt_pipeline.progress import track
from minigpt_pipeline.text.casing import add_form_counts, choose_forms, count_forms
from minigpt_pipeline.text.encoding import encode_parts
from minigpt_pipeline.text.film_split import assign_parts
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.threads import map_in_order
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import add_counts
from minigpt_pipeline.text.word_tokenizer import train_word_tokenizer

logger = logging.getLogger(__name__)


def train_tokenizer(reviews: Iterable[pa.RecordBatch], vectorization: VectorizationParameters) -> Tokenizer:
    """Choose tokens by the words of the training films, and learn from the same reviews which words have capitals.

    Args:
        reviews: Columns `movie_id` and `text`.
        vectorization: Supplies the shares of the films, what the tokens are and how many, and the fewest words to
            choose them by.

    Raises:
        ValueError: If the training films have fewer words than `min_words`.
    """

    def count(piece: pa.RecordBatch) -> tuple[int, pa.Table]:
        is_train = pc.equal(assign_parts(piece, vectorization.split), "train")
        return is_train.true_count, count_forms(piece["text"].filter(is_train))

    num_reviews, tables = zip(*map_in_order(count, show(reviews, "Counting words")), strict=True)
    form_counts = add_form_counts(tables)
    counts = add_counts([form_counts.select(["word", "count"])])
    num_words = pc.sum(counts["count"], min_count=0).as_py()
    if num_words < vectorization.min_words:
        raise ValueError(
            f"The {sum(num_reviews)} reviews of the training films have {num_words} words between them, "
            f"expected at least {vectorization.min_words}: ingest more reviews, "
            "or lower min_words in conf/base/parameters_vectorization.yml"
        )
    train = train_subword_tokenizer if vectorization.tokenizer == "subword" else train_word_tokenizer
    tokenizer = train(counts, vectorization.vocabulary_size, choose_forms(form_counts))
    logger.info(
        "%s tokens of at most vocabulary_size=%s, from %s different words of %s reviews",
        f"{len(tokenizer):,}",
        f"{vectorization.vocabulary_size:,}",
        f"{len(counts):,}",
        f"{sum(num_reviews):,}",
    )
    return tokenizer


def choose_tokenizer(
    reviews: Iterable[pa.RecordBatch],
    champion: TrainedModel | None,
    vectorization: VectorizationParameters,
    retraining: RetrainingParameters,
) -> Tokenizer:
    """Keep the champion's tokenizer, or train one where there is none or a new one is asked for.

    Args:
        reviews: As for `train_tokenizer`.
        champion: The model in use; null where there is none yet.
        vectorization: As for `train_tokenizer`; of a tokenizer that is kept it changes nothing.
        retraining: Supplies whether a new one is asked for.
    """
    if champion is None or retraining.refresh_vocabulary:
        why = "there is no champion" if champion is None else "refresh_vocabulary=true"
        logger.info("Training a tokenizer: %s", why)
        return train_tokenizer(reviews, vectorization)
    kept = champion.tokenizer
    if kept.kind != vectorization.tokenizer or len(kept) > vectorization.vocabulary_size:
        logger.warning(
            "The champion's tokenizer (%s, %s tokens) is kept, though vectorization asks for tokenizer=%s and at most "
            "vocabulary_size=%s: set retraining.refresh_vocabulary=true for a new one",
            kept.kind,
            f"{len(kept):,}",
            vectorization.tokenizer,
            f"{vectorization.vocabulary_size:,}",
        )
    else:
        logger.info("Keeping the champion's tokenizer: %s, %s tokens", kept.kind, f"{len(kept):,}")
    return kept


def encode_reviews(
    reviews: Iterable[pa.RecordBatch], tokenizer: Tokenizer, vectorization: VectorizationParameters
) -> tuple[pa.Table, ...]:
    """Turn words into token ids, part by part; see `encode_parts`.

    Args:
        reviews: Columns `review_id`, `movie_id`, `rating` and `text`.
        tokenizer: Gives words their ids.
        vectorization: Supplies the shares of the films.

    Returns:
        The tables of `train`, `validation` and `test`.
    """
    return encode_parts(show(reviews, "Encoding reviews"), tokenizer, vectorization.split)


def show(reviews: Iterable[pa.RecordBatch], doing: str) -> Iterable[pa.RecordBatch]:
    """Show how many reviews are taken, where it is known how many there are.

    Args:
        reviews: In pieces; those of a file know their number.
        doing: What is done with them.
    """
    num_reviews = getattr(reviews, "num_rows", None)
    if num_reviews is None:
        return reviews
    return track(reviews, doing, num_reviews, "reviews", lambda piece: piece.num_rows)
